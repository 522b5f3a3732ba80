import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from kameng.static_files import StaticFiles

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kameng.settings")

application = StaticFiles(
    get_wsgi_application(), settings.STATIC_ROOT, settings.STATIC_URL
)
