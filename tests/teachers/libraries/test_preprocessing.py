"""What libraries' teachers see of JPEGs of odd sizes: the libraries' own transforms, whichever crop and filter they have."""

import open_clip
import pytest
import timm
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torchvision.transforms import Compose, Resize

from bench.declared import LibraryModel
from teachers.libraries import open_clip as of_open_clip
from teachers.libraries import timm as of_timm
from tests.teachers.full_size.test_preprocessing import jpeg, levels, seen

MODELS = [
    LibraryModel("timm", "vit_small_patch14_dinov2.lvd142m", size=224),
    LibraryModel("timm", "cspdarknet53.ra_in1k"),  # bilinear
    LibraryModel("timm", "dm_nfnet_f0.dm_in1k"),  # squashed, and the middle cut out
    LibraryModel("timm", "vit_base_patch16_siglip_224.webli", crop=0.8),
    LibraryModel("open_clip", "MobileCLIP2-S0", "dfndr2b"),  # bilinear
    LibraryModel("open_clip", "ViT-B-16-SigLIP", "webli"),  # squashed
]
SIZES = [(333, 501), (300, 97), (64, 64)]


def both(model: LibraryModel):
    """The teacher's transform, and the library's of a PIL image."""
    if model.library == "timm":
        facts = of_timm.configuration(model)
        given = {"input_size": model.size and (3, model.size, model.size), "crop_pct": model.crop}
        config = timm.data.resolve_data_config(given, pretrained_cfg=facts.to_dict())
        return of_timm.transform(facts, model), timm.data.create_transform(**config)
    config = open_clip.get_pretrained_cfg(model.name, model.tag)
    kept = {key: config[key] for key in ("mean", "std", "interpolation", "resize_mode") if config.get(key)}
    size = 256 if "Mobile" in model.name else 224
    return of_open_clip.transform(config, size, model), image_transform_v2(
        PreprocessCfg(size=size, **kept), is_train=False
    )


def width_first(picture: Image.Image, resize: Resize) -> Image.Image:
    """Squashed by Pillow, the width first, as all versions before Pillow 13 do."""
    height, width = resize.size
    filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}[resize.interpolation.value]
    return picture.resize((width, picture.height), filters).resize((width, height), filters)


@pytest.mark.parametrize("source", ["files", "tensors"])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_teacher_sees_what_its_library_makes_of_a_picture(model, source, tmp_path):
    transform, library = both(model)
    resize, *rest = library.transforms
    for size in SIZES:
        picture = Image.open(jpeg(size)).convert("RGB")
        resized = resize(picture) if transform["short_side"] else width_first(picture, resize)
        theirs = levels(Compose(rest)(resized), transform)
        ours = seen(jpeg(size), source, transform, tmp_path)
        # Pillow's bits; two levels where a tensor is resized.
        assert ours.shape == theirs.shape and (ours - theirs).abs().max() < (0.01 if source == "files" else 2.01), size
