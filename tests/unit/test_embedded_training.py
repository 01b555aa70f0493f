"""Latents are exact arithmetic; a resumed training goes on as if it had never stopped."""

from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import save_file

from models.embedded import batches, checkpoint, train
from models.embedded.autoencoder import CELL, GAIN, encode, make_autoencoder
from models.embedded.batches import THING_WEIGHT, Phase, make_batch, to_tensor, weigh
from models.embedded.drawing import draw
from models.embedded.export import export
from models.embedded.sampling import draw_single
from models.embedded.train_decoder import make_crops
from models.embedded.training import Training

SMALL = Phase(10**12, (0.4, 0.2, 0.2, 0.2), 2, ((128, 128),))


@pytest.fixture
def small_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CURRICULUM", (SMALL,))


def test_the_encoder_does_the_arithmetic_that_training_uses() -> None:
    pictures = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    encoded = make_autoencoder().encode(pictures * 2 - 1).latents

    assert torch.allclose(encoded, encode(pictures), atol=1e-5)


def test_latents_hold_the_mean_colours() -> None:
    pictures = to_tensor([draw(draw_single(Random(1)), 64, 64, Random(1))])
    means = torch.nn.functional.avg_pool2d(pictures, CELL)

    assert torch.allclose(encode(pictures)[:, :3], GAIN * (means - 0.5), atol=1e-5)


def test_an_untrained_decoder_already_gives_the_mean_colours_back() -> None:
    pictures = to_tensor([draw(draw_single(Random(2)), 64, 64, Random(2))])
    decoded = make_autoencoder().decode(encode(pictures)).sample.add(1).div(2)
    means = torch.nn.functional.avg_pool2d(pictures, CELL)
    blocks = torch.nn.functional.interpolate(means, scale_factor=CELL)

    assert (decoded - blocks).abs().max() < 0.08


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    one, again, other = (make_batch(1, step, SMALL) for step in (3, 3, 4))

    assert one.captions == again.captions
    assert torch.equal(one.latents, again.latents)
    assert not torch.equal(one.latents, other.latents)


def test_cells_with_a_thing_weigh_more() -> None:
    weights = make_batch(1, 1, Phase(1, (1.0, 0.0, 0.0, 0.0), 8, ((192, 128),))).weights

    assert weights.shape == (8, 1, 16, 24)
    assert 0.1 < (weights > 1).float().mean() < 0.5


def test_a_thing_weighs_the_same_in_its_picture_whatever_its_size() -> None:
    things = torch.zeros(2, 1, 32, 32)
    things[0, :, 10:20, 10:20] = things[1, :, 8:24, 8:24] = 1
    weights = weigh(things)

    assert torch.allclose((weights - 1).mean((1, 2, 3)), torch.tensor(THING_WEIGHT))
    assert weights[0, 0, 8, 8] > weights[0, 0, 7, 7] == 1


@pytest.mark.usefixtures("small_phase")
def test_a_resumed_run_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    unbroken = Training(seed=1)
    for step in range(3):
        if step == 2:
            checkpoint.save(tmp_path / "two", unbroken.weights, unbroken.average,
                            unbroken.optimizer, unbroken.progress)  # fmt: skip
        unbroken.take_step(1e-3)
    resumed = Training(seed=2)
    resumed.seed = 1
    resumed.progress = checkpoint.load(
        tmp_path / "two", resumed.weights, resumed.average, resumed.optimizer
    )
    resumed.take_step(1e-3)

    assert resumed.progress == unbroken.progress
    for name, weight in unbroken.weights.items():
        assert torch.equal(weight, resumed.weights[name]), name
        assert torch.equal(unbroken.average[name], resumed.average[name]), name


@pytest.mark.usefixtures("small_phase")
@pytest.mark.filterwarnings("ignore")
def test_a_training_goes_on_from_an_exported_folder(tmp_path: Path) -> None:
    training = Training(seed=1)
    training.take_step(1e-3)
    checkpoint.save(tmp_path / "one", training.weights, training.average, None, training.progress)
    autoencoder = {name: t.contiguous() for name, t in make_autoencoder().state_dict().items()}
    save_file(autoencoder, tmp_path / "autoencoder")
    export(tmp_path / "one", tmp_path / "autoencoder", tmp_path / "model")
    resumed = Training(seed=2)
    resumed.resume(tmp_path / "model")

    assert resumed.progress == training.progress
    for name, average in training.average.items():
        assert torch.allclose(average, resumed.weights[name], atol=2e-3), name


@pytest.mark.usefixtures("small_phase")
def test_steps_on_one_batch_lower_its_loss() -> None:
    torch.set_num_threads(1)
    training = Training(seed=1)
    losses = []
    for _ in range(25):
        losses.append(training.take_step(1e-3))
        training.progress["step"] = 0

    assert losses[-1] < 0.75 * losses[0]


def test_the_learning_rate_warms_up_holds_and_falls() -> None:
    rates = [train.learning_rate(step, 1000, 800) for step in (0, 500, 800, 900, 1000)]

    assert rates[0] < 0.02 * rates[1]
    assert rates[1] == rates[2] > rates[3] > rates[4] > 0


def test_decoder_crops_lie_on_cell_borders_and_repeat() -> None:
    assert torch.equal(make_crops(1, 0), make_crops(1, 0))
    assert make_crops(1, 0).shape[2] % CELL == 0
