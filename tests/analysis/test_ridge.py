"""Ridge regression: out of fold, as the library has it, and blind to labels it should be blind to."""

from __future__ import annotations

import numpy as np
import pytest

from unspoken.analysis.ridge import _Fitted, cross_predict, ranked


def _data(num: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num, size)) * rng.uniform(0.5, 5, size) + 3
    return features, features @ rng.normal(size=(size, 2)) + 7


@pytest.mark.parametrize(("num", "size"), [(60, 8), (30, 80)])
def test_the_same_as_scikit_learn(num: int, size: int) -> None:
    """Guards the closed form, with fewer rows than features and with more, against another implementation."""
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    features, targets = _data(num, size)
    targets = targets + np.random.default_rng(1).normal(size=targets.shape)
    fitted = _Fitted.of(features)
    scaler = StandardScaler().fit(features)
    turned = fitted.left.T @ (targets - targets.mean(0))
    for penalty in (0.1, 10.0):
        ridge = Ridge(alpha=penalty).fit(scaler.transform(features), targets)
        weights = (np.sqrt(fitted.squares) / (fitted.squares + penalty))[:, None] * turned
        ours = scaler.transform(features) @ fitted.right @ weights + targets.mean(0)
        assert ours == pytest.approx(ridge.predict(scaler.transform(features)), abs=1e-6)


def test_left_out_errors_are_those_of_refitting() -> None:
    """Guards the choice of the penalty: the shortcut must give what leaving every row out gives."""
    from sklearn.linear_model import Ridge

    features, targets = _data(20, 4)
    targets = targets + np.random.default_rng(1).normal(size=targets.shape)
    fitted = _Fitted.of(features)
    x = (features - fitted.mean) / fitted.scale
    centred = targets - targets.mean(0)
    expected = 0.0
    for i in range(20):
        rest = np.arange(20) != i
        expected += float(
            ((Ridge(alpha=2.0).fit(x[rest], centred[rest]).predict(x[i : i + 1]) - centred[i]) ** 2).sum()
        )
    assert fitted._left_out(centred, fitted.left.T @ centred, 2.0) == pytest.approx(expected, rel=1e-6)


def test_a_linear_map_is_found_and_noise_is_not() -> None:
    """Guards both ends: what is there is read out of fold, what is not there is not."""
    features, targets = _data(200, 10)
    noise = np.random.default_rng(2).normal(size=(200, 2))
    found, nothing = cross_predict(features, [targets, noise], seed=0)
    assert np.corrcoef(found[:, 0], targets[:, 0])[0, 1] > 0.999
    assert abs(np.corrcoef(nothing[:, 0], noise[:, 0])[0, 1]) < 0.25


def test_no_row_sees_its_own_target() -> None:
    """Guards the folds: with more features than rows a fit that saw a row would repeat its target."""
    rng = np.random.default_rng(3)
    features, targets = rng.normal(size=(50, 400)), rng.normal(size=(50, 1))
    (found,) = cross_predict(features, [targets], seed=0)
    assert abs(np.corrcoef(found[:, 0], targets[:, 0])[0, 1]) < 0.4


def test_nothing_to_read_ranks_by_chance() -> None:
    """Guards rare labels: the mean of the part trained on would rank the rows left out backwards, well below 0.5."""
    means = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        wanted = np.zeros((200, 30), np.bool_)
        wanted[np.arange(200), rng.integers(30, size=200)] = True
        (found,) = cross_predict(rng.normal(size=(200, 8)), [wanted.astype(float)], seed=seed)
        means.append(np.nanmean(ranked(found, wanted, np.ones_like(wanted))))
    assert 0.475 < np.mean(means) < 0.525


def test_constant_features_predict_nothing() -> None:
    """Guards thoughts that are the same in all problems, whose standard deviation is zero."""
    targets = np.arange(20.0)[:, None]
    (found,) = cross_predict(np.ones((20, 3)), [targets], seed=0)
    assert np.isfinite(found).all()
    assert (found == 0).all()
    with pytest.raises(ValueError, match="at least 10 rows"):
        cross_predict(np.ones((9, 3)), [targets[:9]], seed=0)


def test_ranks_within_a_row() -> None:
    """Guards the AUC by hand: ties count a half, columns that are no candidates nothing."""
    scores = np.array([[3.0, 2.0, 1.0, 9.0], [1.0, 1.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0]])
    wanted = np.array([[True, False, True, False], [True, False, False, False], [False, False, False, False]])
    among = np.array([[True, True, True, False], [True, True, True, True], [True, True, True, True]])
    assert ranked(scores, wanted, among) == pytest.approx([0.5, (0.5 + 1 + 1) / 3, np.nan], nan_ok=True)
