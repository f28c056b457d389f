"""The kinds of bulk jobs that this pool surveys and concludes: `jobs.kind` to what it does."""

from collections.abc import Mapping

from common.models import Models
from common.stage.bulk import BulkKind
from common.stage.runtime import Runtime
from common.store.approximate import ApproximateIndexes
from common.store.bulk import Bulk
from common.store.calibration import Calibration
from common.store.search import GallerySearch
from workers.match.approximate import IndexKind
from workers.match.calibrate import CalibrateKind
from workers.match.reindex import ReindexKind
from workers.match.rematch import RematchKind


def make_kinds(runtime: Runtime, models: Models, search: GallerySearch) -> Mapping[str, BulkKind]:
    """One line a kind; a new one is a module with a class and its line here."""
    database, settings = runtime.database, runtime.settings
    return {
        "calibrate": CalibrateKind(
            Calibration(database), Bulk(database), runtime.blobs, min_similarity=models.min_similarity
        ),
        "index": IndexKind(ApproximateIndexes(database), Calibration(database), Bulk(database), search),
        "reindex": ReindexKind(database, models, min_margin=settings.match.min_margin),
        "rematch": RematchKind(database, models, search, max_gap_ms=settings.match.max_gap_ms),
    }
