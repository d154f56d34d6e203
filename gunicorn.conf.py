"""How the API is served: gunicorn reads this file by itself from the project's root."""

import sys

from api.config import ConfigurationError, load_settings

try:
    # Checked before the first fork, so that a wrong setting is one message and not a boot loop.
    _settings = load_settings()
except ConfigurationError as error:
    sys.exit(str(error))

wsgi_app = "api:create_app()"
bind = f"0.0.0.0:{_settings.port}"
workers = 2
worker_class = "gthread"
threads = 4
reuse_port = True  # without it one worker may take every kept-alive connection
preload_app = False  # each worker opens its own connections, after the fork
timeout = 30
graceful_timeout = 20
keepalive = 15
