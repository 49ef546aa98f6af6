//! Numbers about the running program, in the text format of Prometheus. Nothing personal, and no
//! names of tenants: whoever may scrape need not know them.

use std::sync::OnceLock;
use std::time::Duration;

use eventstore::{Append, AppendError, Appended, Tenant};
use metrics::{
    counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
    set_global_recorder,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::app::App;

const REQUESTS: &str = "tidbok_http_requests_total";
const REQUEST_SECONDS: &str = "tidbok_http_request_seconds";
const APPENDS: &str = "tidbok_appends_total";
const APPEND_SECONDS: &str = "tidbok_append_seconds";
const TENANTS: &str = "tidbok_tenants";
const ENTRIES: &str = "tidbok_ledger_entries";
const LAG: &str = "tidbok_read_model_lag_entries";
const STOPPED: &str = "tidbok_read_models_stopped";

const BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// The one recorder of this process, made on first use.
pub fn recorder() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
            .expect("there are buckets")
            .build_recorder();
        let handle = recorder.handle();
        if set_global_recorder(recorder).is_err() {
            tracing::warn!("somebody else records metrics; ours stay empty");
        }
        describe();
        handle
    })
}

fn describe() {
    describe_counter!(REQUESTS, "Requests answered, by route, method and status.");
    describe_histogram!(REQUEST_SECONDS, "How long requests took, by route.");
    describe_counter!(APPENDS, "Commands handed to a ledger, by what became of them.");
    describe_histogram!(APPEND_SECONDS, "From handing a command in to its durable commit.");
    describe_gauge!(TENANTS, "Tenants.");
    describe_gauge!(ENTRIES, "Entries in all ledgers.");
    describe_gauge!(LAG, "Committed entries that the slowest read models do not reflect yet.");
    describe_gauge!(STOPPED, "Read models that stopped and must be rebuilt.");
}

/// Notes one answered request.
pub fn request(route: &str, method: &str, status: u16, took: Duration) {
    let (route, method) = (route.to_owned(), method.to_owned());
    let labels = [("route", route.clone()), ("method", method), ("status", status.to_string())];
    counter!(REQUESTS, &labels).increment(1);
    histogram!(REQUEST_SECONDS, "route" => route).record(took.as_secs_f64());
}

/// Appends, and notes how long it took and what became of it.
///
/// # Errors
/// As [`eventstore::Ledger::append`].
pub async fn append(app: &App, tenant: &Tenant, append: Append) -> Result<Appended, AppendError> {
    let began = app.env.clock.since_boot();
    let answer = tenant.ledger.append(append).await;
    let took = app.env.clock.since_boot().saturating_sub(began);
    let result = match &answer {
        Ok(appended) if appended.repeated => "repeated",
        Ok(_) => "accepted",
        Err(AppendError::Refused(_)) => "refused",
        Err(_) => "failed",
    };
    counter!(APPENDS, "result" => result).increment(1);
    histogram!(APPEND_SECONDS).record(took.as_secs_f64());
    answer
}

/// Everything measured, as text.
pub fn render(app: &App) -> String {
    let pulse = crate::pages::pulse(app);
    gauge!(TENANTS).set(number(pulse.tenants));
    gauge!(ENTRIES).set(number(pulse.entries));
    gauge!(LAG).set(number(pulse.lag));
    gauge!(STOPPED).set(number(pulse.stopped));
    recorder().render()
}

/// As a gauge takes it. Counts stay far below where this loses anything.
fn number(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
