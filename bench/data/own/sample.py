"""One image of a packed file, with what is known of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """An image's ``name`` in its packed file, its bytes, its label's name and its captions, if there are any."""

    name: str
    data: bytes
    label: str | None = None
    captions: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of data."""
        if self.label is not None:
            return "classification"
        return "captions" if self.captions else "images"

    def has(self, kind: str) -> bool:
        """Whether it has what data of this kind need."""
        return {"classification": self.label is not None, "captions": bool(self.captions)}.get(kind, True)

    @property
    def ending(self) -> str:
        """The file ending of what the bytes begin like."""
        starts = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp"}
        if self.data[:4] == b"RIFF" and self.data[8:12] == b"WEBP":
            return ".webp"
        return next((ending for start, ending in starts.items() if self.data.startswith(start)), ".jpg")
