//! `pre-receive`: learns what a push would do, has it recorded and judged, tells the verdict.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use refwarden_gitio::refs::Resolved;
use refwarden_gitio::{ObjectEnv, Refs};
use refwarden_model::facts::{PushFacts, RefFacts, UpdateKind};
use refwarden_model::{Code, RefName};
use refwarden_scan::{Masker, Scanner};
use refwarden_wire::hook::{Outcome, PushIn, PushOut, REFUSED, RefusedIn};

use crate::client::{Client, Pushed};
use crate::correlation::Parent;
use crate::environment::Environment;
use crate::facts::{self, Learned};
use crate::fault::Fault;
use crate::gained;
use crate::holding::{Held, Watch};
use crate::host::Host;
use crate::incoming::Incoming;
use crate::known;
use crate::moved::Placements;
use crate::options::{self, Wishes};
use crate::placeholders;
use crate::report;
use crate::rules::{IGNORE_FILE, Rules};
use crate::scanning::Report;
use crate::signing::Signatures;
use crate::spool::{IN_A_PUSH, Spool};
use crate::through::{Aside, Left};
use crate::updates::{self, Update};

/// Runs the hook.
pub fn run() -> Result<(), Fault> {
    let clock = Clock::start();
    let host = Host::open()?;
    let parent = Parent::of_this_process()?;
    if !parent.is_receive_pack {
        return Err(Fault::hook("the hook does not run for git receive-pack"));
    }
    let ended = judge(&host, &parent, clock);
    if let Err(fault) = &ended {
        record(&host, &parent, fault);
    }
    ended
}

fn judge(host: &Host, parent: &Parent, mut clock: Clock) -> Result<(), Fault> {
    let updates = updates::read(std::io::stdin().lock(), host.repository.object_format)?;
    let environment = Environment::read()?;
    let wishes = Wishes::of(&environment.options)?;
    if wishes.help {
        return Err(Fault::Help);
    }
    if let Some(note) = options::unknown(&environment.options) {
        report::note(&note);
    }
    clock.step("start");
    // The client and the rules take their time to build; what needs neither is read meanwhile.
    let (read, rules, client) = std::thread::scope(|scope| {
        let rules = scope.spawn(|| timed(|| Rules::kept(host)));
        let client = scope.spawn(|| timed(|| Client::new(host)));
        let read = timed(|| Incoming::read(&host.repository, &updates));
        let read = match read {
            (Ok(incoming), spent) => {
                let moves = timed(|| Moves::read(host, &updates, &incoming));
                Ok((incoming, spent, moves))
            }
            (Err(fault), _) => Err(fault),
        };
        (read, rules.join(), client.join())
    });
    let (rules, spent) = rules.map_err(|_| Fault::hook("the rules stopped at a defect"))?;
    clock.record("rules", spent);
    let (client, spent) = client.map_err(|_| Fault::hook("the HTTP client cannot be started"))?;
    clock.record("client", spent);
    let (incoming, spent, (moves, spent_on_refs)) = read?;
    clock.record("history", spent);
    clock.record("refs", spent_on_refs);
    let (mut rules, client, moves) = (rules?, client?, moves?);
    clock.last = Instant::now();
    Spool::of(host).drain(&client, IN_A_PUSH)?;
    let mut is_asked = false;
    let (mut answer, lie, standing, aside) = loop {
        let left = Left::read(environment.masked.as_deref(), parent)?;
        let (masked, masked_pack, aside) = match left {
            Some(Left { push, pack, aside }) => (Some(push), Some(pack), aside),
            None => (None, None, Aside::default()),
        };
        let coming = Coming {
            incoming: &incoming,
            environment: &environment,
            moves: &moves,
            aside: &aside,
        };
        let facts = learn(host, &coming, &rules, &mut clock)?;
        let lie = stale(&facts);
        let standing = facts.findings.iter().filter(|it| it.pre_existing).count();
        let (pack, pack_bytes) = incoming.pack(&host.repository)?;
        let push = PushIn {
            repository: host.id,
            correlation: parent.correlation.clone(),
            push_id: environment.push_id,
            transport: environment.transport.clone(),
            client_address: environment.client_address.clone(),
            client_agent: environment.client_agent.clone(),
            hook_version: env!("CARGO_PKG_VERSION").to_owned(),
            facts,
            pack_bytes,
            masked,
            timings: clock.steps.clone(),
        };
        match client.push(&push, environment.token.as_ref(), masked_pack, pack)? {
            Pushed::Judged(answer) => break (answer, lie, standing, aside),
            // The policy names other rules than this host has kept.
            Pushed::OtherRules if !is_asked => {
                is_asked = true;
                rules = Rules::fetch(host, &client)?;
                clock.step("rules");
            }
            Pushed::OtherRules => {
                let text = "the rules for secrets are being changed just now";
                return Err(Fault::new(Code::ScanFailed, text).hint("push again"));
            }
        }
    };
    if answer.outcome == Outcome::Waiting
        && let Some(limit) = wishes.wait
        && let Some(watch) = Watch::start(parent)
    {
        let held = Held {
            host,
            parent,
            client: &client,
            limit,
        };
        answer = held.wait(&watch, answer)?;
    }
    obey(answer, lie)?;
    aside.check()?;
    if standing > 0 {
        let text = "warning: secrets that stood there before do not stop this push";
        report::note(&format!("{text}: {standing}"));
    }
    Ok(())
}

/// A push that the hook refuses by itself is recorded too, where the service can be told.
fn record(host: &Host, parent: &Parent, fault: &Fault) {
    let Fault::Own { code, text, .. } = fault else {
        return;
    };
    if code.is_of_service() {
        return;
    }
    let environment = Environment::read().ok();
    let refused = RefusedIn {
        repository: host.id,
        correlation: parent.correlation.clone(),
        transport: environment
            .as_ref()
            .map_or_else(|| "unknown".to_owned(), |it| it.transport.clone()),
        client_address: environment
            .as_ref()
            .and_then(|it| it.client_address.clone()),
        code: *code,
        text: text.clone(),
    };
    if let Ok(client) = Client::new(host) {
        let token = environment.and_then(|it| it.token);
        let _ = client.tell_of(token.as_ref(), REFUSED, &refused);
    }
}

fn obey(answer: PushOut, lie: Option<RefName>) -> Result<(), Fault> {
    match (answer.outcome, lie) {
        (Outcome::Released, None) => Ok(()),
        // The service refuses this too; the hook does not depend on it.
        (Outcome::Released, Some(name)) => {
            let text = format!("{name} is not where the client says it is");
            Err(Fault::new(Code::StaleOldOid, text).hint("fetch, then push again"))
        }
        (outcome, _) => Err(Fault::Refused {
            outcome,
            reasons: answer.reasons,
            url: Some(answer.url),
            findings: answer.findings,
        }),
    }
}

/// The first ref whose old value the client does not tell as it is. Git itself does not compare
/// it for a delete.
fn stale(facts: &PushFacts) -> Option<RefName> {
    let lied = |claimed, actual| claimed != actual;
    let mut updates = facts.updates.iter();
    let found = updates.find(|update| {
        update.kind != UpdateKind::NoOp && lied(update.claimed_old, update.actual_old)
    });
    found.map(|update| update.ref_name.clone())
}

/// What the push would do to refs.
struct Moves {
    updates: Vec<RefFacts>,
    /// The names of the refs, as the client gave them.
    names: Vec<RefName>,
    head: Option<Resolved>,
}

impl Moves {
    fn read(host: &Host, claimed: &[Update], incoming: &Incoming) -> Result<Self, Fault> {
        let repository = &host.repository;
        let mut reader = incoming.reader(repository);
        let names: Vec<RefName> = claimed.iter().map(|update| update.name.clone()).collect();
        let resolved = Refs::new(repository).resolve(&names)?;
        let head = RefName::parse(b"HEAD").map_err(|_| Fault::hook("HEAD is no name"))?;
        let head = Refs::new(repository).resolve(&[head])?.pop();
        let mut updates = Vec::with_capacity(claimed.len());
        for (update, resolved) in claimed.iter().zip(resolved) {
            let head = head.as_ref().map(|head| &head.target);
            let reader = reader.as_mut();
            let facts = facts::update(repository, incoming, reader, update, resolved, head)?;
            updates.push(facts);
        }
        Ok(Self {
            updates,
            names,
            head,
        })
    }
}

/// What a push is made of.
struct Coming<'a> {
    incoming: &'a Incoming,
    environment: &'a Environment,
    moves: &'a Moves,
    /// What else is told of it, where it comes from a masked clone.
    aside: &'a Aside,
}

fn learn(
    host: &Host,
    coming: &Coming<'_>,
    rules: &Rules,
    clock: &mut Clock,
) -> Result<PushFacts, Fault> {
    let Coming {
        incoming,
        environment,
        moves,
        aside,
    } = coming;
    let repository = &host.repository;
    let mut reader = incoming.reader(repository);
    let mut updates = moves.updates.clone();
    // What a comment speaks for is told, too: whether it counts, policy says.
    let scanner = Scanner::new(&rules.ruleset, host.fingerprint_key()?).keep_allowed();
    let occurrences = incoming.occurrences();
    let placements = Placements::find(repository, incoming)?;
    let mut report = Report::within(Duration::from_millis(host.config.scan_budget_ms));
    for oid in incoming.all() {
        report.object(&scanner, reader.as_mut(), oid, &occurrences, &placements)?;
    }
    placeholders::refuse_new(repository, incoming, reader.as_mut(), &report)?;
    for oid in &placements.moved {
        report.object(&scanner, reader.as_mut(), *oid, &occurrences, &placements)?;
    }
    for name in &moves.names {
        report.ref_name(&scanner, name.as_bytes());
    }
    for option in &environment.options {
        report.push_option(&scanner, option);
    }
    clock.step("scan");
    let mut former = known::former(incoming, &scanner, reader.as_mut(), &report.found)?;
    let found = &report.found;
    let known = known::pre_existing(repository, incoming, found, &placements, &former, &updates)?;
    let default = moves.head.as_ref().map(|head| head.value);
    let own = match default.filter(|oid| rules.repository_ignore && !oid.is_zero()) {
        Some(commit) => {
            let standing = ObjectEnv::repository_only();
            placeholders::blob_at(repository, &standing, commit, IGNORE_FILE)?
        }
        None => None,
    };
    let ignores = rules.ignores(own, reader.as_mut())?;
    let gained = gained::known(repository, incoming, &updates, default)?;
    gained::scan(&gained, &scanner, reader.as_mut(), &mut former)?;
    let commits = incoming.history.commits.iter().chain(&gained.commits);
    let signed = facts::signed(commits, reader.as_mut())?;
    let signatures = Signatures::check(host, incoming, &signed)?;
    let certificate =
        signatures.of_push(environment.certificate.as_ref(), &updates, reader.as_mut())?;
    facts::hide_names(&mut updates, &report);
    let found = report.found.iter().map(|found| &found.finding);
    let masker: Masker = found.chain(former.values().flatten()).collect();
    let learned = Learned {
        repository,
        incoming,
        occurrences: &occurrences,
        report: &report,
        gained: &gained,
        signatures: &signatures,
        certificate,
        known: &known,
        masker: &masker,
        updates,
        options: &environment.options,
        ruleset_id: rules.ruleset.id().to_string(),
        policy_rules: rules.digest.clone(),
        ignores: &ignores,
        aside,
    };
    let facts = facts::push(learned, reader.as_mut());
    clock.step("facts");
    facts
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (work(), start.elapsed())
}

/// Microseconds by step. What runs beside another step is counted for itself.
struct Clock {
    last: Instant,
    steps: BTreeMap<String, u64>,
}

impl Clock {
    fn start() -> Self {
        Self {
            last: Instant::now(),
            steps: BTreeMap::new(),
        }
    }

    fn step(&mut self, name: &str) {
        let now = Instant::now();
        self.record(name, now.duration_since(self.last));
        self.last = now;
    }

    fn record(&mut self, name: &str, spent: Duration) {
        let spent = u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
        *self.steps.entry(name.to_owned()).or_default() += spent;
    }
}
