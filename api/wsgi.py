"""Front door of the API: `gunicorn api.wsgi:app`. The only place of the API that reads settings and sets up logging."""

from api.app import create_app
from common.allocator import keep_freed_memory
from common.settings import Settings
from common.telemetry import configure_logging

keep_freed_memory()
settings = Settings()
configure_logging(settings.log_level)
app = create_app(settings)
