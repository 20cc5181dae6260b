"""Files of the Hugging Face hub: from its cache where they are, else fetched; the error says how to get them.

What was fetched once is used again without a connection.
"""

from collections.abc import Sequence
from pathlib import Path

from bench.kit.errors import UserError

PROBE_SECONDS = 10


def fetched(repository: str, names: Sequence[str], revision: str | None = None, download: str | None = None) -> Path:
    """The first of ``names`` that the hub's cache has, or else the hub.

    Raises :class:`UserError` with the command that fetches what ``download`` lists, the first of ``names`` by default.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for name in names:
        try:
            return Path(hf_hub_download(repository, name, revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            continue
    reason: Exception | None = None
    for name in names:
        try:
            # Without a connection a download retries for half a minute; this asks once.
            get_hf_file_metadata(hf_hub_url(repository, name, revision=revision), timeout=PROBE_SECONDS)
            return Path(hf_hub_download(repository, name, revision=revision))
        except Exception as error:  # no connection, offline mode, no such repository or revision, a broken transfer
            reason = error
            if not isinstance(error, EntryNotFoundError):
                break
    what = f"{type(reason).__name__}: {reason}".splitlines()[0]
    raise UserError(
        f"the weights of {repository} are not in the hub's cache ({constants.HF_HUB_CACHE}) and could not be fetched "
        f"({what}). On a machine with a connection run\n"
        f"    hf download {repository} {download or names[0]}\n"
        "and copy the cache"
    ) from reason
