"""What is saved comes back to the bit, keys and all."""

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax import checkpoints
from vae_jax.fast import threefry
from vae_jax.training import Failure, TrainState

# orbax drops the reads that it had begun when one of them fails.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def collect_dropped_reads():
    """Let what orbax dropped be collected in the test that made it, not in a later one."""
    yield
    gc.collect()


def make_state(step):
    params = {"vae": {"w": jnp.arange(6.0).reshape(1, 2, 3) + step}, "objective": {}}
    key, alive = jax.random.split(threefry.key(step), 1), Failure(-jnp.ones(1), -jnp.ones(1))
    return TrainState(
        jnp.int32(step), params, (jnp.ones(1),), {"beta": jnp.ones(1)}, (), key, alive
    )


def test_newest_state_comes_back(tmp_path):
    with checkpoints.open_checkpoints(tmp_path) as saved:
        for step in (1, 2, 3, 4):
            checkpoints.save(saved, step, make_state(step))
        saved.wait_until_finished()
        assert list(saved.all_steps()) == [2, 3, 4]
    state, damaged = checkpoints.restore_newest(tmp_path, make_state(0))
    assert int(state.step) == 4 and damaged == []
    np.testing.assert_array_equal(state.params["vae"]["w"], make_state(4).params["vae"]["w"])
    assert (jax.random.bits(state.key[0]) == jax.random.bits(make_state(4).key[0])).all()
    assert jax.tree.structure(state) == jax.tree.structure(make_state(4))


def test_nothing_saved_is_none(tmp_path):
    assert checkpoints.restore_newest(tmp_path / "none", make_state(0)) == (None, [])


def test_donated_buffers_do_not_reach_the_disk(tmp_path):
    """What is overwritten after `save` returns is not what was saved."""
    overwrite = jax.jit(lambda state: jax.tree.map(jnp.zeros_like, state.params), donate_argnums=0)
    for step in range(1, 4):
        state = make_state(step)
        with checkpoints.open_checkpoints(tmp_path) as saved:
            checkpoints.save(saved, step, state)
            jax.block_until_ready(overwrite(state))
        restored, _ = checkpoints.restore_newest(tmp_path, make_state(0))
        expected = make_state(step).params["vae"]["w"]
        np.testing.assert_array_equal(restored.params["vae"]["w"], expected)


def largest_file(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def truncate(folder):
    file = largest_file(folder)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(folder):
    largest_file(folder).write_bytes(b"")


def flip_a_bit(folder):
    """Turn one bit in the middle of the arrays' data."""
    file = largest_file(folder / "state" / "d")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def remove_half(folder):
    """What an interrupted deletion leaves."""
    for file in list(folder.rglob("*"))[::2]:
        if file.is_file():
            file.unlink()


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        pytest.param(truncate, marks=pytest.mark.slow),
        pytest.param(empty, marks=pytest.mark.slow),
        pytest.param(remove_half, marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("collect_dropped_reads")
def test_damage_falls_back_to_the_one_before(tmp_path, damage):
    """Bytes that orbax can read but that are not what was saved, and those that it cannot."""
    with checkpoints.open_checkpoints(tmp_path) as saved:
        for step in (1, 2, 3):
            checkpoints.save(saved, step, make_state(step))
    damage(tmp_path / "3")
    state, damaged = checkpoints.restore_newest(tmp_path, make_state(0))
    assert (int(state.step), damaged) == (2, [3])
    checkpoints.discard(tmp_path, damaged)
    with checkpoints.open_checkpoints(tmp_path) as saved:
        checkpoints.save(saved, 3, make_state(3))
    state, damaged = checkpoints.restore_newest(tmp_path, make_state(0))
    assert (int(state.step), damaged) == (3, [])
    for step, last_damage in enumerate((damage, truncate, damage), 1):
        last_damage(tmp_path / str(step))
    assert checkpoints.restore_newest(tmp_path, make_state(0)) == (None, [3, 2, 1])


def test_digest_sees_every_bit_and_place():
    state = make_state(1)
    moved = state._replace(hparams={"gamma": state.hparams["beta"]})
    reshaped = state._replace(opt_state=(jnp.ones((1, 1)),))
    other_key = state._replace(key=jax.random.split(jax.random.key(2), 1))
    states = (state, moved, reshaped, other_key, make_state(2))
    assert len({checkpoints.digest(each) for each in states}) == len(states)


@pytest.mark.slow
@pytest.mark.usefixtures("collect_dropped_reads")
def test_another_shape_is_no_whole_checkpoint(tmp_path):
    with checkpoints.open_checkpoints(tmp_path) as saved:
        checkpoints.save(saved, 1, make_state(1))
    other = make_state(0)
    other.params["vae"]["w"] = jnp.zeros((1, 3, 3))
    assert checkpoints.restore_newest(tmp_path, other) == (None, [1])


def test_unwritable_folder_is_an_oserror(tmp_path):
    (tmp_path / "file").write_text("")
    folder = checkpoints.open_checkpoints(tmp_path / "file" / "below")
    with pytest.raises(OSError, match="cannot write a checkpoint"), folder:
        pass
