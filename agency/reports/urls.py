"""Addresses of a client's own pages."""

from django.urls import path

from agency.reports import views

urlpatterns = [path("<slug:slug>/", views.report, name="report")]
