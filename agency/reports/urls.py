"""Addresses of a client's own pages."""

from django.urls import path

from agency.reports import shared, views

urlpatterns = [
    path("report/<slug:slug>/", views.report, name="report"),
    path("report/<slug:slug>/<slug:pipeline_slug>/", views.one_pipeline, name="pipeline-report"),
    path("shared/<slug:token>/", shared.shared, name="shared-report"),
    path("shared/<slug:token>/<slug:pipeline_slug>/", shared.shared, name="shared-pipeline"),
]
