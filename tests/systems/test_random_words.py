"""Random words are those of the cipher that JAX has, whatever their number."""

from __future__ import annotations

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
import pytest

from hamlearn.systems.sampling import local


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 4), (2, 3, 5)])
def test_words_and_the_next_key_are_those_of_threefry(shape):
    key = np.array([0xDEADBEEF, 12345], np.uint32)
    count = int(np.prod(shape))
    expected = jax.extend.random.threefry_2x32(key, jnp.arange(count + 2 + count % 2, dtype=jnp.uint32))
    for find in (local.random_words, jax.jit(local.random_words, static_argnums=1)):
        after, words = find(key, shape)
        np.testing.assert_array_equal(words, expected[:count].reshape(shape))
        np.testing.assert_array_equal(after, expected[-2:])
