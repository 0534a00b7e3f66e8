"""Addresses of the staff pages."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from agency.portal.views import clients, logs, overview, pipelines, quarantine, runs, settings, setup, versions

CLIENT = "c/<slug:slug>/"
PIPELINE = CLIENT + "<slug:pipeline_slug>/"

urlpatterns = [
    path("", setup.start, name="overview"),
    path("setup/", setup.setup, name="setup"),
    path("login/", setup.SignIn.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("new-client/", overview.new_client, name="new-client"),
    path("gates/", logs.gates, name="gate-log"),
    path("rollbacks/", logs.rollbacks, name="rollback-log"),
    path(CLIENT, clients.client, name="client"),
    path(CLIENT + "audit/", clients.audit, name="audit"),
    path(CLIENT + "add-host/", clients.add_host, name="add-host"),
    path(CLIENT + "hosts/<slug:name>/probe/", clients.probe_host, name="probe-host"),
    path(CLIENT + "issue-key/", clients.issue_key, name="issue-key"),
    path(CLIENT + "keys/<slug:prefix>/revoke/", clients.revoke_key, name="revoke-key"),
    path(CLIENT + "add-member/", clients.add_member, name="add-member"),
    path(CLIENT + "new-pipeline/", pipelines.new_pipeline, name="new-pipeline"),
    path(PIPELINE, pipelines.pipeline, name="pipeline"),
    path(PIPELINE + "start/", pipelines.start_run, name="start-run"),
    path(PIPELINE + "upload/", pipelines.upload, name="upload"),
    path(PIPELINE + "upload-set/", pipelines.upload_set, name="upload-set"),
    path(PIPELINE + "quarantine/", quarantine.quarantine, name="quarantine"),
    path(PIPELINE + "runs/", runs.runs, name="runs"),
    path(PIPELINE + "runs/<int:number>/", runs.run, name="run"),
    path(PIPELINE + "runs/<int:number>/<slug:name>/", runs.decide, name="decide"),
    path(PIPELINE + "versions/", versions.versions, name="versions"),
    path(PIPELINE + "versions/<int:number>/", versions.version, name="version"),
    path(PIPELINE + "versions/<int:number>/version.yaml", versions.version_file, name="version-file"),
    path(PIPELINE + "versions/<int:number>/roll-back/", versions.roll_back, name="roll-back"),
    path(PIPELINE + "settings/", settings.settings, name="settings"),
    path(PIPELINE + "settings/schedule/", settings.schedule, name="schedule"),
    path(PIPELINE + "settings/history/", settings.history, name="settings-history"),
    path(PIPELINE + "settings/history/<int:number>/restore/", settings.restore, name="restore"),
]
