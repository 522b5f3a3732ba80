from django.db import models


class JobRun(models.Model):
    """When a periodic job last finished; read by ``/readyz`` and ``doctor``."""

    name = models.CharField(max_length=40, unique=True)
    finished_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
