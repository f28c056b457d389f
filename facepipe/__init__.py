"""Client and command line of facepipe: who appears in this video, and when?

from facepipe import Client

with Client() as client:
    job = client.jobs.submit("clip.mp4", gallery="staff")
    client.jobs.wait(job.id)
    for appearance in client.jobs.appearances(job.id):
        print(appearance.name, appearance.start_ms, appearance.end_ms)
"""

from importlib.metadata import PackageNotFoundError, version

from facepipe.client import Client
from facepipe.errors import FacepipeError
from facepipe.signatures import verify_signature

__all__ = ["Client", "FacepipeError", "__version__", "verify_signature"]

try:
    __version__ = version("facepipe")
except PackageNotFoundError:  # imported from a checkout that is not installed
    __version__ = "0+checkout"
