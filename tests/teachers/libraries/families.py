"""The families of models in docs/models.md, and how that table is made: ``python -m tests.teachers.libraries.families``."""

from importlib import import_module

from bench.declared import LibraryModel
from bench.kit.markdown import table
from bench.kit.paths import ROOT
from teachers.libraries import describe

DOCUMENT = ROOT / "docs" / "models.md"
BEGIN = "<!-- table -->\n"
COLUMNS = (
    "model", "library", "tokens before the patches", "grid", "pooled width", "own pooling", "attention", "tokens for students",
    "size", "mean", "std", "licence",
)  # fmt: skip
TIMM = [
    "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
    "vit_base_patch32_clip_224.laion2b",
    "vit_base_patch16_224.mae",
    "deit_tiny_patch16_224.fb_in1k",
    "deit_tiny_distilled_patch16_224.fb_in1k",
    "deit3_small_patch16_224.fb_in22k_ft_in1k",
    "vit_small_patch14_dinov2.lvd142m",
    "vit_small_patch14_reg4_dinov2.lvd142m",
    "vit_small_patch16_dinov3.lvd1689m",
    "vit_small_patch16_dinov3_qkvb.eupe_lvd1689m",
    "vit_base_patch16_siglip_224.webli",
    "vit_base_patch16_siglip_224.v2_webli",
    "naflexvit_base_patch16_siglip.v2_webli",
    "vit_pe_core_tiny_patch16_384.fb",
    "vit_pe_spatial_tiny_patch16_512.fb",
    "eva02_tiny_patch14_224.mim_in22k",
    "beit_base_patch16_224.in22k_ft_in22k_in1k",
    "beitv2_base_patch16_224.in1k_ft_in22k",
    "vit_base_patch14_reg1_tipsv2.webli",
    "aimv2_large_patch14_224.apple_pt",
    "naflexvit_base_patch16_radio_v3.c_radio",
    "naflexvit_so400m_patch16_radio_v4.c_radio",
    "swin_tiny_patch4_window7_224.ms_in1k",
    "swinv2_tiny_window8_256.ms_in1k",
    "hiera_tiny_224.mae",
    "mvitv2_tiny.fb_in1k",
    "xcit_nano_12_p16_224.fb_in1k",
    "cait_xxs24_224.fb_dist_in1k",
    "volo_d1_224.sail_in1k",
    "levit_128s.fb_dist_in1k",
    "pit_ti_224.in1k",
    "crossvit_tiny_240.in1k",
    "twins_pcpvt_small.in1k",
    "davit_tiny.msft_in1k",
    "maxvit_tiny_rw_224.sw_in1k",
    "coatnet_0_rw_224.sw_in1k",
    "caformer_s18.sail_in22k",
    "vitamin_small_224.datacomp1b_clip",
    "tiny_vit_5m_224.dist_in22k",
    "mobilevit_xxs.cvnets_in1k",
    "edgenext_xx_small.in1k",
    "efficientformer_l1.snap_dist_in1k",
    "fastvit_t8.apple_in1k",
    "fastvit_mci0.apple_mclip",
    "poolformer_s12.sail_in1k",
    "mixer_b16_224.miil_in21k",
    "pvt_v2_b0.in1k",
    "resnet50.a1_in1k",
    "resnet50_clip.openai",
    "regnety_002.pycls_in1k",
    "densenet121.ra_in1k",
    "convnext_tiny.eupe_lvd1689m",
    "convnextv2_atto.fcmae",
    "efficientnet_b0.ra_in1k",
    "mobilenetv3_small_100.lamb_in1k",
    "mobilenetv4_conv_small.e2400_r224_in1k",
    "mobilenetv4_hybrid_medium.e200_r256_in12k",
    "efficientvit_b0.r224_in1k",
    "repvit_m0_9.dist_300e_in1k",
    "nextvit_small.bd_in1k",
    "focalnet_tiny_srf.ms_in1k",
    "ghostnetv2_100.in1k",
]
OPEN_CLIP = [
    ("ViT-B-32-quickgelu", "openai"), ("ViT-B-16", "datacomp_xl_s13b_b90k"), ("RN50-quickgelu", "openai"),
    ("convnext_base", "laion400m_s13b_b51k"), ("coca_ViT-B-32", "laion2b_s13b_b90k"), ("EVA02-B-16", "merged2b_s8b_b131k"),
    ("ViT-B-16-SigLIP2", "webli"), ("MobileCLIP2-S0", "dfndr2b"), ("ViTamin-S", "datacomp1b"),
]  # fmt: skip
FAMILIES = [*(LibraryModel("timm", name) for name in TIMM), *(LibraryModel("open_clip", *each) for each in OPEN_CLIP)]


def row(model: LibraryModel) -> list[str]:
    """The row of a model."""
    facts = describe(model)
    name = f"`{model.name}`" + (f" `{model.tag}`" if model.tag else "")
    grid = facts.layout
    cells = [
        name, model.library, str(grid.before) if grid else "–", f"{grid.side} × {grid.side}" if grid else "none", str(facts.width),
        facts.pool, facts.attention, "yes" if facts.has_tokens else "no", str(facts.size),
    ]  # fmt: skip
    library = import_module(f"teachers.libraries.{model.library}")
    read = library.transform(
        library.configuration(model), *([facts.size] if model.library == "open_clip" else []), model
    )
    means = (" ".join(f"{value:.3g}" for value in read[name]) for name in ("mean", "std"))
    return [*cells, *means, facts.licence or "not stated"]


def made() -> str:
    """The table of all families."""
    return table([*COLUMNS], [row(model) for model in FAMILIES], text=(0, 1, 3, 5, 6, 7, 9, 10, 11)) + "\n"


if __name__ == "__main__":
    text, _, _ = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    DOCUMENT.write_text(text + BEGIN + made(), encoding="utf-8")
