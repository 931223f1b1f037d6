"""How gunicorn serves `service.app:create_app()`: its `-c python:service.gunicorn_conf`.

Two processes of 32 threads: sync workers are killed by slow uploads, and one process with few
threads stalls when podcast apps keep connections open.
"""

import gc
import logging
from pathlib import Path
from typing import Any

from service.access_log import FORMAT, AccessLogger
from storage.settings import load_settings

# What the application itself has to say, each line with its time; requests are another log's.
logging.basicConfig(
    format="%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z"
)
_settings = load_settings()
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  a heartbeat file; a disk could stall it

bind = (
    f"[{_settings.bind}]:{_settings.port}"
    if ":" in _settings.bind
    else (f"{_settings.bind}:{_settings.port}")
)
worker_class = "gthread"
workers = _settings.web_processes
threads = _settings.web_threads
preload_app = True
timeout = 60
graceful_timeout = 30
keepalive = 5
worker_tmp_dir = str(_SHARED_MEMORY) if _SHARED_MEMORY.is_dir() else None
proc_name = "dare-web"
accesslog = "-"
errorlog = "-"
loglevel = "warning"
access_log_format = FORMAT
logger_class = AccessLogger
# Who the client is, is the application's business (trusted_proxies), never gunicorn's.
forwarded_allow_ips = ""
control_socket_disable = True


def when_ready(_server: Any) -> None:
    """Put what was preloaded out of the collector's reach, so that forks go on sharing it."""
    gc.collect()
    gc.freeze()
