"""Front door of the older routes: `gunicorn api.compat.wsgi:app`, bound to every port of `api.compat.open_ports`."""

from api.compat.mount import make_mount
from common.allocator import keep_freed_memory
from common.settings import Settings
from common.telemetry import configure_logging

keep_freed_memory()
settings = Settings()
configure_logging(settings.log_level)
app = make_mount(settings)
