"""Addresses of the staff pages."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from agency.portal.views import (
    clients,
    invitation,
    logs,
    overview,
    people,
    pipelines,
    prompts,
    runs,
    settings,
    setup,
    versions,
)
from agency.portal.views.changes import four_eyes, freezes, ledger, sign_in, timeline
from agency.portal.views.data import pages as data
from agency.portal.views.data import uploads
from agency.portal.views.hosts import adopt
from agency.portal.views.hosts import agents as host_agents
from agency.portal.views.hosts import pages as hosts
from agency.portal.views.judging import comparison, foresight, gates, simulator, trends
from agency.portal.views.leaving import archives, erasures
from agency.portal.views.leaving import person as one_person
from agency.portal.views.machines import pages as machines
from agency.portal.views.onboarding import demo_client, examples, wizard
from agency.portal.views.presets import bulk
from agency.portal.views.presets import one as following
from agency.portal.views.presets import pages as presets
from agency.portal.views.rows import complaint, one, queue
from agency.portal.views.sets import adding, blind, judges
from agency.portal.views.sets import pages as sets
from agency.portal.views.sharing import brand, letters, viewing
from agency.portal.views.sharing import report as sharing
from agency.portal.views.shipping import drills, kept, replay, traffic, watch
from agency.portal.views.telling import channels, leaving, mails
from agency.portal.views.training import importing
from agency.portal.views.training import services as training
from agency.portal.views.value import caps
from agency.portal.views.value import pages as value

CLIENT = "c/<slug:slug>/"
PIPELINE = CLIENT + "<slug:pipeline_slug>/"

urlpatterns = [
    path("", setup.start, name="overview"),
    path("setup/", setup.setup, name="setup"),
    path("login/", setup.SignIn.as_view(), name="login"),
    path("login/", setup.SignIn.as_view(), name="account_login"),  # By the name that allauth looks for.
    path("logout/", LogoutView.as_view(), name="logout"),
    path("jump/", overview.jump, name="jump"),
    path("views/", overview.keep_view, name="keep-view"),
    path("new-client/", overview.new_client, name="new-client"),
    path("get-started/", wizard.begin, name="wizard-client"),
    path("get-started/demo-client/", demo_client.load, name="load-demo"),
    path("get-started/" + CLIENT, wizard.go_on, name="wizard-go-on"),
    path("get-started/" + CLIENT + "host/", wizard.host, name="wizard-host"),
    path("get-started/" + CLIENT + "pipeline/", wizard.pipeline, name="wizard-pipeline"),
    path("get-started/" + PIPELINE + "examples/", examples.data, name="wizard-data"),
    path("get-started/" + PIPELINE + "run/", wizard.first_run, name="wizard-run"),
    path("training-services/", training.services, name="training-services"),
    path("training-services/<slug:name>/withdraw/", training.withdraw, name="withdraw-training"),
    path("presets/", presets.presets, name="presets"),
    path("presets/<slug:preset>/", presets.preset, name="preset"),
    path("many/", bulk.bulk, name="bulk-change"),
    path("gates/", logs.gates, name="gate-log"),
    path("gates.csv", logs.gates_file, name="gate-log-file"),
    path("rollbacks/", logs.rollbacks, name="rollback-log"),
    path("audit/", logs.agency_audit, name="agency-audit"),
    path("freezes/", freezes.freezes, name="freezes"),
    path("freezes/<int:freeze>/lift/", freezes.lift, name="lift-freeze"),
    path("four-eyes/", four_eyes.switches, name="four-eyes"),
    path("four-eyes/<int:proposal>/<slug:name>/", four_eyes.decide, name="decide-proposal"),
    path("machines/", machines.machines, name="machines"),
    path("machines/<int:machine>/<slug:name>/", machines.order, name="order-machine"),
    path("value/", value.value, name="value"),
    path("value/terms/", value.terms, name="value-terms"),
    path("value/caps/", caps.agency_caps, name="caps"),
    path("brand/", brand.brand, name="brand"),
    path("leaving/", erasures.agency, name="agency-leaving"),
    path("leaving/erasures/<int:erasure>/", erasures.go_on, name="go-on-erasing"),
    path("leaving/erasures/<int:erasure>/certificate.json", erasures.certificate_file, name="erasure-certificate"),
    path("leaving/archive.tar", archives.agency_file, name="agency-archive"),
    path("mails/", mails.mails, name="mails"),
    path("mails/leave/<str:leaving>/", leaving.leave_mails, name="leave-mails"),
    path("channels/", channels.channels, name="channels"),
    path("channels/<int:channel>/", channels.channel, name="channel"),
    path("channels/<int:channel>/<slug:name>/", channels.act, name="channel-act"),
    path("channels/deliveries/<int:delivery>/replay/", channels.replay, name="replay-delivery"),
    path("people/", people.people, name="people"),
    path("people/sign-in/", sign_in.sign_in_rules, name="sign-in-rules"),
    path("people/<int:member>/view-as/", viewing.as_person, name="view-person"),
    path("view-as/stop/", viewing.stop, name="stop-viewing"),
    path("people/<int:member>/role/", people.change_role, name="change-role"),
    path("people/invitations/<int:invitation>/close/", people.withdraw_invitation, name="close-invitation"),
    path("invitation/<slug:ticket>/", invitation.invitation, name="invitation"),
    path("people/<int:member>/remove/", people.remove_person, name="remove-person"),
    path(CLIENT, clients.client, name="client"),
    path(CLIENT + "remove-demo/", demo_client.remove, name="remove-demo"),
    path(CLIENT + "ledger/", ledger.ledger, name="ledger"),
    path(CLIENT + "four-eyes/", four_eyes.switches, name="client-four-eyes"),
    path(CLIENT + "four-eyes/<int:proposal>/<slug:name>/", four_eyes.decide, name="decide-client-proposal"),
    path(CLIENT + "usage/", value.usage, name="usage"),
    path(CLIENT + "caps/", caps.client_caps, name="client-caps"),
    path(CLIENT + "usage.csv", value.usage_file, name="usage-file"),
    path(CLIENT + "timeline/", timeline.timeline, name="timeline"),
    path(CLIENT + "timeline.csv", timeline.timeline_file, name="timeline-file"),
    path(CLIENT + "audit/", clients.audit, name="audit"),
    path(CLIENT + "view-as/", viewing.as_client, name="view-client"),
    path(CLIENT + "sharing/", sharing.report, name="sharing"),
    path(CLIENT + "sharing/links/", sharing.issue, name="issue-link"),
    path(CLIENT + "sharing/links/<int:link>/revoke/", sharing.revoke, name="revoke-link"),
    path(CLIENT + "kept/", kept.kept, name="kept"),
    path(CLIENT + "training-services/", training.of_client, name="client-training"),
    path(CLIENT + "training-services/<slug:name>/take-back/", training.take_back, name="take-back-training"),
    path(CLIENT + "leaving/", erasures.client, name="leaving"),
    path(CLIENT + "leaving/person/", one_person.person, name="person"),
    path(CLIENT + "leaving/erase/", erasures.erase, name="erase-client"),
    path(CLIENT + "leaving/archive.tar", archives.client_file, name="client-archive"),
    path(CLIENT + "judges/", judges.judges, name="judges"),
    path(CLIENT + "judges/<slug:name>/withdraw/", judges.withdraw, name="withdraw-judge"),
    path(CLIENT + "add-host/", clients.add_host, name="add-host"),
    path(CLIENT + "add-agent-host/", host_agents.add_agent_host, name="add-agent-host"),
    path(CLIENT + "hosts/<slug:name>/", hosts.host, name="host"),
    path(CLIENT + "hosts/<slug:name>/probe/", hosts.probe_host, name="probe-host"),
    path(CLIENT + "hosts/<slug:name>/adopt/", adopt.adopt, name="adopt"),
    path(CLIENT + "hosts/<slug:name>/access/", hosts.change_access, name="host-access"),
    path(CLIENT + "hosts/<slug:name>/terms/", hosts.change_terms, name="host-terms"),
    path(CLIENT + "hosts/<slug:name>/renew-agent/", host_agents.order, {"order": "renew"}, name="renew-agent"),
    path(CLIENT + "hosts/<slug:name>/revoke-agent/", host_agents.order, {"order": "revoke"}, name="revoke-agent"),
    path(CLIENT + "hosts/<slug:name>/drain/", hosts.switch, {"order": "drain"}, name="drain-host"),
    path(CLIENT + "hosts/<slug:name>/undrain/", hosts.switch, {"order": "undrain"}, name="undrain-host"),
    path(CLIENT + "issue-key/", clients.issue_key, name="issue-key"),
    path(CLIENT + "keys/<slug:prefix>/revoke/", clients.revoke_key, name="revoke-key"),
    path(CLIENT + "add-member/", clients.add_member, name="add-member"),
    path(CLIENT + "new-pipeline/", pipelines.new_pipeline, name="new-pipeline"),
    path(PIPELINE, pipelines.pipeline, name="pipeline"),
    path(PIPELINE + "pause/", pipelines.pausing, {"name": "pause"}, name="pause"),
    path(PIPELINE + "resume/", pipelines.pausing, {"name": "resume"}, name="resume"),
    path(PIPELINE + "start/", pipelines.start_run, name="start-run"),
    path(PIPELINE + "rollbacks/<int:rollback>/letter/", letters.letter, name="letter"),
    path(PIPELINE + "shared-examples/", sharing.examples, name="shared-examples"),
    path(PIPELINE + "data/", data.data, name="data"),
    path(PIPELINE + "data/hold-out/", data.hold_out, name="hold-out"),
    path(PIPELINE + "data/upload/", uploads.upload, name="upload"),
    path(PIPELINE + "data/uploads/<int:upload>/", uploads.one, name="one-upload"),
    path(PIPELINE + "data/sources/<int:source>/", data.source, name="source"),
    path(PIPELINE + "data/datasets/<int:number>/", data.dataset, name="dataset"),
    path(PIPELINE + "data/withdraw/<slug:kind>/<int:pk>/", data.withdraw, name="withdraw"),
    path(PIPELINE + "upload-set/", pipelines.upload_set, name="upload-set"),
    path(PIPELINE + "sets/", sets.eval_sets, name="eval-sets"),
    path(PIPELINE + "sets/suggest/", adding.promote, name="eval-promote"),
    path(PIPELINE + "sets/starter/", adding.starter, name="eval-starter"),
    path(PIPELINE + "sets/<slug:kind>/", sets.eval_set, name="eval-set"),
    path(PIPELINE + "sets/<slug:kind>/case/", sets.eval_case, name="eval-case"),
    path(PIPELINE + "quarantine/", queue.quarantine, name="quarantine"),
    path(PIPELINE + "review/", queue.review, name="review"),
    path(PIPELINE + "rows/<int:row>/", one.row, name="row"),
    path(PIPELINE + "complaint/", complaint.complaint, name="complaint"),
    path(PIPELINE + "runs/", runs.runs, name="runs"),
    path(PIPELINE + "runs/<int:number>/", runs.run, name="run"),
    path(PIPELINE + "runs/<int:number>/comparison/", comparison.compare, name="comparison"),
    path(PIPELINE + "runs/<int:number>/comparison/<slug:kind>/", comparison.case, name="comparison-case"),
    path(PIPELINE + "runs/<int:number>/blind/", blind.blind, name="blind"),
    path(PIPELINE + "runs/<int:number>/replay/", replay.replay, name="replay"),
    path(PIPELINE + "runs/<int:number>/watch/", watch.watch, name="watch"),
    path(PIPELINE + "runs/<int:number>/again/<slug:stage>/", runs.rerun, name="rerun"),
    path(PIPELINE + "runs/<int:number>/<slug:name>/", runs.decide, name="decide"),
    path(PIPELINE + "versions/", versions.versions, name="versions"),
    path(PIPELINE + "traffic/", traffic.traffic, name="traffic"),
    path(PIPELINE + "versions/import/", importing.bring, name="import-model"),
    path(PIPELINE + "versions/trends/", trends.trends, name="trends"),
    path(PIPELINE + "versions/<int:number>/", versions.version, name="version"),
    path(PIPELINE + "versions/<int:number>/version.yaml", versions.version_file, name="version-file"),
    path(PIPELINE + "versions/<int:number>/hops/", versions.measure_hops, name="measure-hops"),
    path(PIPELINE + "versions/<int:number>/prompt/", prompts.prompt, name="prompt"),
    path(PIPELINE + "versions/<int:number>/passport/", versions.passport_file, name="passport-file"),
    path(PIPELINE + "versions/<int:number>/roll-back/", versions.roll_back, name="roll-back"),
    path(PIPELINE + "drills/", drills.drills, name="drills"),
    path(PIPELINE + "gates/", gates.gates, name="pipeline-gates"),
    path(PIPELINE + "gates/simulator/", simulator.simulator, name="gate-simulator"),
    path(PIPELINE + "gates/odds/", gates.odds, name="gate-odds"),
    path(PIPELINE + "gates/waive/", gates.waive, name="waive-gate"),
    path(PIPELINE + "gates/waivers/<int:waiver>/withdraw/", gates.withdraw, name="withdraw-waiver"),
    path(PIPELINE + "settings/", settings.settings, name="settings"),
    path(PIPELINE + "settings/triggers/", foresight.backtest, name="trigger-backtest"),
    path(PIPELINE + "settings/false-alarms/", foresight.false_alarms, name="false-alarms"),
    path(PIPELINE + "settings/preset/", following.follow, name="follow-preset"),
    path(PIPELINE + "settings/copy/", following.clone, name="clone-pipeline"),
    path(PIPELINE + "settings/schedule/", settings.schedule, name="schedule"),
    path(PIPELINE + "settings/history/", settings.history, name="settings-history"),
    path(PIPELINE + "settings/history/<int:number>/restore/", settings.restore, name="restore"),
]
