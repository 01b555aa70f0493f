"""models.yaml: what may be asked for, and what is refused."""

from pathlib import Path
from textwrap import dedent

import pytest

from schemas.jobs import Tier
from services.engine.catalogue import Catalogue
from services.engine.sizes import parse_ratio
from services.errors import InvalidAspectRatio, InvalidCatalogue, InvalidSize, UnknownModel

SHIPPED = Path(__file__).parents[2] / "models" / "models.yaml"

TIERS = """
    tiers: &tiers
      draft: {num_inference_steps: 2, guidance_scale: 1, scheduler: DDIMScheduler}
      standard: {num_inference_steps: 4, guidance_scale: 5, scheduler: DDIMScheduler}
      high: {num_inference_steps: 8, guidance_scale: 5, scheduler: DDIMScheduler}
      ultra: {num_inference_steps: 16, guidance_scale: 5, scheduler: DDIMScheduler}
"""
TWO_MODELS = f"""
default: [first, second]
models:
  - id: first
    source: first
    sizes: {{native: [512, 512]}}
{TIERS}
  - id: second
    aliases: [spare]
    source: second
    sizes: {{native: [1024, 1024], by_ratio: {{"16:9": [1344, 768]}}}}
    tiers: *tiers
"""


def catalogue(folder: Path, text: str = TWO_MODELS) -> Catalogue:
    file = folder / "models.yaml"
    file.write_text(dedent(text))
    return Catalogue.load(file)


def put_model(folder: Path) -> None:
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")


def test_the_shipped_catalogue_has_a_default_whose_folder_is_here() -> None:
    shipped = Catalogue.load(SHIPPED)

    assert shipped.folder_of(shipped.default) is not None
    assert set(shipped.default.tiers) == set(Tier)


def test_the_default_is_the_first_whose_folder_is_here(tmp_path: Path) -> None:
    put_model(tmp_path / "second")

    assert catalogue(tmp_path).find("default").id == "second"

    put_model(tmp_path / "first")

    assert catalogue(tmp_path).find("default").id == "first"


def test_where_no_folder_is_here_the_first_is_the_default(tmp_path: Path) -> None:
    assert catalogue(tmp_path).default.id == "first"


def test_a_model_is_found_by_alias(tmp_path: Path) -> None:
    assert catalogue(tmp_path).find("spare").id == "second"


@pytest.mark.parametrize("name", ["", "third", "../first", "FIRST"])
def test_an_unknown_model_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownModel) as refusal:
        catalogue(tmp_path).find(name)

    assert refusal.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("ratio", "size"),
    [("1:1", (512, 512)), ("16:9", (680, 384)), ("9:16", (384, 680)), ("4:1", (1024, 256))],
)
def test_a_ratio_keeps_the_native_area(tmp_path: Path, ratio: str, size: tuple[int, int]) -> None:
    chosen = catalogue(tmp_path).find("first").size_for(ratio)

    assert (chosen.width, chosen.height) == size


def test_a_size_written_for_a_ratio_wins(tmp_path: Path) -> None:
    chosen = catalogue(tmp_path).find("second").size_for("16:9")

    assert (chosen.width, chosen.height) == (1344, 768)


@pytest.mark.parametrize("ratio", ["1:1", "21:9", "9:21", "1:4", "4:1", "100:99", "2:3", "7:3"])
def test_every_ratio_gives_a_size_that_the_model_makes(ratio: str) -> None:
    for model in Catalogue.load(SHIPPED).models:
        size = model.size_for(ratio)

        model.check_size(size.width, size.height)


@pytest.mark.parametrize(
    "ratio", ["", "1", "0:1", "1:0", "5:1", "1:5", "a:b", "1:1:1", " 1:1", "1.5:1", "-1:1", "1:1\n"]
)
def test_a_bad_ratio_is_refused(ratio: str) -> None:
    with pytest.raises(InvalidAspectRatio):
        parse_ratio(ratio)


@pytest.mark.parametrize("size", [(512, 260), (260, 512), (248, 512), (512, 2056)])
def test_a_size_outside_the_limits_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(InvalidSize):
        catalogue(tmp_path).find("first").check_size(*size)


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ("[first, second]", "[third]", "default names no model: third"),
        ("[spare]", "[first]", "names more than one model: first"),
        ("source: second", "sources: second", "sources"),
        ("draft:", "sketch:", "sketch"),
        ("[512, 512]", "[500, 512]", "multiple of 8"),
        ("models:", "models: [", "models.yaml"),
        (TWO_MODELS, "", "models.yaml"),
    ],
)
def test_a_mistake_in_the_file_is_named(
    tmp_path: Path, was: str, becomes: str, complaint: str
) -> None:
    with pytest.raises(InvalidCatalogue, match=complaint):
        catalogue(tmp_path, TWO_MODELS.replace(was, becomes))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidCatalogue, match="absent"):
        Catalogue.load(tmp_path / "absent.yaml")
