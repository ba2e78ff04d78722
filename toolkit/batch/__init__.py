"""Project, segment or learn from whole folders of photographs.

One that fails is reported and skipped. Before the work its time and memory are said, measured by a step of it.
"""

from toolkit.batch.gathering import gather
from toolkit.batch.naming import find
from toolkit.batch.projecting import project_files, shots_from
from toolkit.batch.segmenting import segment_files, segment_latents
from toolkit.batch.telling import announce, how_good

__all__ = ["announce", "find", "gather", "how_good", "project_files", "segment_files", "segment_latents", "shots_from"]
