"""ASGI entry: the data plane first, everything else is Django's, with bodies of a bounded size."""

import os
from typing import cast

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agency.settings")
pages = get_asgi_application()

# After Django is set up: these read its settings and models.
from django.conf import settings  # noqa: E402

from agency.api.bodies import bounded  # noqa: E402
from agency.env import text  # noqa: E402
from agency.gateway.app import App, Gateway, beside  # noqa: E402

gateway = Gateway(text("RETUNE_GATEWAY_NAME", "embedded"), settings.VAR)
application = beside(gateway, bounded(cast(App, pages)))
