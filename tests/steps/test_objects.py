"""Objects of a class through the whole chain: the same bytes however the work is shared, cut, killed or begun anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tinystudy import run_chain, whole, write_study

from pipeline.objects.growing import Reach
from pipeline.objects.partition import separate as separate_in_memory
from pipeline.run.layout import Run
from pipeline.steps.separate import separate

OBJECTS: dict[str, Any] = {
    "classes": {
        "members": [
            {"name": "dark", "ids": [1]},
            {"name": "grey", "ids": [2]},
            {"name": "bright", "ids": [3], "instances": True, "rim_nm": 12},
        ]
    },
    "inference": {"region": "all", "reach_nm": 60},
    "training": {"steps": 120},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("objects")
    return run_chain(write_study(folder, OBJECTS), folder / "run", score=False)


def expected(run: Run) -> NDArray[np.uint64]:
    classes, cores = whole(run.segmentation("multilabel", "tiny")), whole(run.cores("tiny"))
    reach = Reach.of(run.reach_nm, run.plan.capture("tiny").voxel_size_nm)
    return separate_in_memory(np.where(classes == 3, 3, 0).astype(np.uint8), cores, reach, {})


def test_objects_are_those_of_one_pass(run: Run) -> None:
    separate(run.store.url)
    found, wanted = whole(run.objects("bright", "tiny")), expected(run)
    assert whole(run.cores("tiny")).max() == 3
    assert wanted.max() > 3
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == np.uint32
