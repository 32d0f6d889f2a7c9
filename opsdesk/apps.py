"""The project as an app: its commands, pages and templates."""

from django.apps import AppConfig


class OpsdeskConfig(AppConfig):
    name = "opsdesk"
