"""The learnt baselines, where scikit-learn is there: a random forest on nine readings, an isolation forest.

Both are held to what a site would meet: a family (or a GPU model) that is judged was not learnt from.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from bench.detect.night import Record

try:
    import numpy as np
    from sklearn.ensemble import IsolationForest, RandomForestClassifier
except ImportError:  # pragma: no cover - said in the table
    IsolationForest = RandomForestClassifier = None

MISSING = "scikit-learn is not installed (requirements/bench.txt): not measured"
_TREES = 100
_FOLDS = 8
_NOTHING = -1.0  # a reading that the board does not give
Scores = dict[int, float]


def is_there() -> bool:
    """Whether scikit-learn can be imported."""
    return RandomForestClassifier is not None


def left_out(records: Sequence[Record], by: str, seed: str) -> dict[str, list[float]]:
    """Scores of both forests for every record, by models that saw none of its `by` (family, gpu)."""
    groups = sorted({record[by] for record in records})
    Random(f"folds/{seed}").shuffle(groups)
    n_folds = min(_FOLDS, len(groups))
    fold_of = {group: place % n_folds for place, group in enumerate(groups)}
    table = np.array(
        [[_NOTHING if v is None else v for v in r["features"]] for r in records], dtype=np.float32
    )
    wrong = np.array([r["part"] == "diverting" for r in records])
    folds = np.array([fold_of[r[by]] for r in records])
    found = {"random forest": np.zeros(len(records)), "isolation forest": np.zeros(len(records))}
    for fold in range(n_folds):
        here = folds == fold
        makers: dict[str, Callable[[], Any]] = {
            "random forest": lambda: _forest(table[~here], wrong[~here]),  # noqa: B023 - called at once
            "isolation forest": lambda: _isolation(table[~here & ~wrong]),  # noqa: B023
        }
        for name, make in makers.items():
            found[name][here] = make()(table[here])
    return {name: scores.tolist() for name, scores in found.items()}


def _forest(table: Any, wrong: Any) -> Callable[[Any], Any]:
    model = RandomForestClassifier(_TREES, min_samples_leaf=3, class_weight="balanced", random_state=0)
    if wrong.all() or not wrong.any():  # nothing to tell apart
        return lambda rows: np.zeros(len(rows))
    model.fit(table, wrong)
    return lambda rows: model.predict_proba(rows)[:, 1]


def _isolation(table: Any) -> Callable[[Any], Any]:
    if len(table) == 0:
        return lambda rows: np.zeros(len(rows))
    model = IsolationForest(n_estimators=_TREES, random_state=0).fit(table)
    return lambda rows: -model.score_samples(rows)
