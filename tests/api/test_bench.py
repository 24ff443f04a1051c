"""The benchmark's two servers do the same work, so that their speeds may be compared."""

import uvloop

from ops.bench import api as bench
from ops.bench.harness import Measured
from ops.bench.scratch import Cluster

JOBS = 48


def test_ours_and_the_reference_leave_the_same_rows_behind(cluster: Cluster) -> None:
    async def both() -> tuple[Measured, Measured]:
        filled, tokens = await bench._filled(cluster)
        rounds = bench.Bench(cluster, filled, tokens, JOBS, connections=8)
        return await rounds.round("ours", bench._posts)(0), await rounds.round("reference", bench._posts)(0)

    ours, reference = uvloop.run(both())
    assert ours.left == reference.left
    assert isinstance(ours.left, tuple)
    assert ours.left[0] == {202: JOBS}
    assert ours.figure > 0
    assert reference.figure > 0
