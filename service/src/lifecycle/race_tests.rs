//! Generated schedules over one request: two approvers, an expiry, a cancel, the push that is
//! held for it and a second one, on several connections of a real Postgres at once. Whatever the
//! order, one of them closes the question, at most one push moves the ref, and the ledger says so.
//!
//! `REFWARDEN_RACE_SCHEDULES` says how many schedules are run; 500 unless set.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Duration, TimeZone as _, Utc};
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use refwarden_model::facts::{PushFacts, RefFacts, UpdateKind};
use refwarden_model::{Actor, ActorChain, ActorKind, ObjectFormat, Oid, RefName, RepositoryId};
use refwarden_policy::{Policy, Scopes};
use refwarden_testkit::Stack;
use refwarden_wire::api::DecisionIn;
use refwarden_wire::hook::{
    CancelIn, Correlation, GivenUp, Move, Outcome, PrepareIn, PushIn, WaitIn,
};
use uuid::Uuid;

use super::receive::{Received, receive};
use crate::approval;
use crate::db::pushes::push_state;
use crate::db::repositories::{self, Repository};
use crate::db::requests::state;
use crate::db::{events, pushes, requests};
use crate::identity::VerifiedToken;

const HOST: &str = "race";
const POLICY: &str = "version = 1\n[[rule]]\nid = \"main\"\nrefs = [\"refs/heads/main\"]\n\
                      effect = \"require_approval\"\napprovers = [\"group:m\"]\n";
/// Schedules that run at once, with [`LANES`] connections each.
const CREWS: u64 = 8;
const LANES: usize = 3;

/// What is done in some order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Decide(&'static str, &'static str),
    Expire,
    Cancel,
    /// The hook of the held push looks, and moves the ref when it is released.
    Held,
    /// The same push once more.
    Again,
}

/// splitmix64 (Steele, Lea and Flood, 2014): the schedule is its seed.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % bound
    }

    /// The steps in some order, each on some connection.
    fn lanes(&mut self) -> Vec<Vec<Step>> {
        let second = ["approve", "reject"][self.below(2)];
        let mut steps = vec![
            Step::Decide("grace", "approve"),
            Step::Decide("lin", second),
            Step::Expire,
            Step::Cancel,
            Step::Held,
            Step::Held,
            Step::Again,
            Step::Again,
        ];
        // Each of what ends it early is left out now and then, or it would always win.
        for rare in [Step::Expire, Step::Cancel] {
            if self.below(2) == 0 {
                steps.retain(|step| *step != rare);
            }
        }
        let mut lanes = vec![Vec::new(); LANES];
        while !steps.is_empty() {
            let step = steps.swap_remove(self.below(steps.len()));
            lanes[self.below(LANES)].push(step);
        }
        lanes
    }
}

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap()
}

fn person(name: &str) -> Actor {
    Actor {
        issuer: "i".to_owned(),
        subject: name.to_owned(),
        kind: ActorKind::Human,
        name: None,
        email: Some(format!("{name}@example.org")),
        groups: vec!["m".to_owned()],
        claims: BTreeMap::new(),
    }
}

fn oid(digit: &str) -> Oid {
    digit.repeat(40).parse().unwrap()
}

fn main_branch() -> RefName {
    RefName::parse(b"refs/heads/main").unwrap()
}

/// One repository with one push that is held for one request.
struct Schedule {
    repository: Uuid,
    request: String,
    digest: String,
    policy: Policy,
    again: AtomicU64,
    prepared: AtomicU64,
    decided: AtomicU64,
}

impl Schedule {
    fn new(conn: &mut PgConnection) -> Self {
        let repository = Uuid::now_v7();
        let row = Repository {
            id: repository,
            name: repository.to_string(),
            object_format: "sha1".to_owned(),
            host: HOST.to_owned(),
            epoch: 1,
            adopted_at: now(),
            next_seq: 1,
        };
        repositories::insert(conn, &row).unwrap();
        let mut schedule = Self {
            repository,
            request: String::new(),
            digest: String::new(),
            policy: Policy::parse(&[("p.toml", POLICY)]).unwrap(),
            again: AtomicU64::new(1),
            prepared: AtomicU64::new(0),
            decided: AtomicU64::new(0),
        };
        assert_eq!(schedule.push(conn, 0), Outcome::Waiting);
        let found = requests::bound_to(
            conn,
            repository,
            b"refs/heads/main",
            &oid("1").to_string(),
            &oid("2").to_string(),
        );
        let request = found.unwrap().remove(0);
        (schedule.request, schedule.digest) = (request.id, request.digest);
        schedule
    }

    fn run_of(&self, number: u64) -> Correlation {
        Correlation {
            boot_id: self.repository.to_string(),
            pid_namespace: 1,
            pid: u32::try_from(number).unwrap(),
            start_ticks: number,
        }
    }

    fn push(&self, conn: &mut PgConnection, number: u64) -> Outcome {
        let update = RefFacts {
            ref_name: main_branch(),
            target: main_branch(),
            claimed_old: oid("1"),
            actual_old: oid("1"),
            new: oid("2"),
            kind: UpdateKind::FastForward,
            new_type: Some("commit".to_owned()),
            gained: 1,
            lost: 0,
            default_branch: Some(true),
        };
        let push = PushIn {
            repository: RepositoryId(self.repository),
            correlation: self.run_of(number),
            push_id: None,
            transport: "local".to_owned(),
            client_address: None,
            client_agent: None,
            hook_version: "race".to_owned(),
            facts: PushFacts {
                object_format: ObjectFormat::Sha1,
                updates: vec![update],
                commits: vec![],
                commits_total: 0,
                known_commits: vec![],
                tags: vec![],
                certificate: None,
                properties: None,
                findings: vec![],
                findings_total: 0,
                secret_moves: Vec::new(),
                objects_scanned: 0,
                push_options: vec![],
                ruleset_id: String::new(),
                policy_rules: None,
            },
            pack_bytes: None,
            masked: None,
            timings: BTreeMap::new(),
        };
        let mut received = Received {
            host: HOST,
            push,
            token: Ok(VerifiedToken {
                actor_chain: ActorChain {
                    pusher: person("ada"),
                    on_behalf_of: vec![],
                },
                token_id: format!("{}-{number}", self.repository),
                issuer: "i".to_owned(),
                scopes: Scopes::default(),
                made_at: now(),
                expires_at: now() + Duration::hours(1),
            }),
            token_sha256: None,
            pack: None,
            masked_pack: None,
            policy: &self.policy,
            public_url: "",
            request_days: 1,
        };
        receive(conn, &mut received, now()).unwrap().outcome
    }

    fn step(&self, conn: &mut PgConnection, step: Step) {
        match step {
            Step::Decide(who, what) => {
                let decision = DecisionIn {
                    decision: what.to_owned(),
                    reason: "Raced.".to_owned(),
                    digest: self.digest.clone(),
                    answers: vec![],
                };
                let taken = approval::decide(conn, &self.request, &person(who), &decision, now());
                self.decided
                    .fetch_add(u64::from(taken.is_ok()), Ordering::SeqCst);
            }
            Step::Expire => {
                let request = requests::find(conn, &self.request).unwrap().unwrap();
                approval::expire_one(conn, &request, now() + Duration::days(2)).unwrap();
            }
            Step::Cancel => {
                let asked = CancelIn {
                    repository: RepositoryId(self.repository),
                    correlation: self.run_of(0),
                    why: GivenUp::ClientGone,
                };
                super::cancel(conn, HOST, &asked, now()).unwrap();
            }
            Step::Held => {
                let asked = WaitIn {
                    repository: RepositoryId(self.repository),
                    correlation: self.run_of(0),
                    standing: vec![],
                    seconds: 0,
                };
                let answer = super::look(conn, HOST, &asked, self.policy.hash(), now()).unwrap();
                if answer.outcome == Outcome::Released {
                    self.prepare(conn, 0);
                }
            }
            Step::Again => {
                let number = self.again.fetch_add(1, Ordering::SeqCst);
                if self.push(conn, number) == Outcome::Released {
                    self.prepare(conn, number);
                }
            }
        }
    }

    fn prepare(&self, conn: &mut PgConnection, number: u64) {
        let asked = PrepareIn {
            repository: RepositoryId(self.repository),
            correlation: self.run_of(number),
            moves: vec![Move {
                target: main_branch(),
                old: oid("1"),
                new: oid("2"),
            }],
        };
        let answer = super::prepare(conn, HOST, &asked, now()).unwrap();
        // The same push may ask twice for its move; only another one's would be a second winner.
        let bit = if answer.prepared { 1 << number } else { 0 };
        self.prepared.fetch_or(bit, Ordering::SeqCst);
    }

    fn check(&self, conn: &mut PgConnection, what: &str) {
        let request = requests::find(conn, &self.request).unwrap().unwrap();
        let all = events::of_kinds(
            conn,
            self.repository,
            &[
                "request.approved",
                "request.rejected",
                "request.expired",
                "ref.prepared",
            ],
            0,
            i64::MAX,
        );
        let all = all.unwrap();
        let mine = |event: &&events::Event| event.request_id.as_ref() == Some(&self.request);
        let count = |kind: &str| all.iter().filter(mine).filter(|it| it.kind == kind).count();
        let (approved, rejected) = (count("request.approved"), count("request.rejected"));
        let expired = count("request.expired");
        let decided = usize::try_from(self.decided.load(Ordering::SeqCst)).unwrap();
        let winners = self.prepared.load(Ordering::SeqCst).count_ones();

        // One closes the question: a decision, or time.
        assert_eq!(approved + rejected, decided, "{what}");
        assert!(decided <= 1 && expired <= 1, "{what}: {all:?}");
        assert_eq!(decided.max(expired), 1, "{what}: nobody closed it");
        // One push at most moves the ref, by an approval that is then spent.
        assert!(winners <= 1, "{what}: {winners} pushes moved the ref");
        assert_eq!(
            request.state == state::USED,
            winners == 1,
            "{what}: {}",
            request.state
        );
        assert_eq!(
            count("ref.prepared"),
            usize::try_from(winners).unwrap(),
            "{what}"
        );
        if winners == 1 {
            assert_eq!((approved, rejected, expired), (1, 0, 0), "{what}: {all:?}");
        }
        let ends = [
            state::USED,
            state::APPROVED,
            state::REJECTED,
            state::EXPIRED,
        ];
        assert!(
            ends.contains(&request.state.as_str()),
            "{what}: {}",
            request.state
        );
        assert_eq!(request.state == state::REJECTED, rejected == 1, "{what}");
        assert_eq!(request.state == state::EXPIRED, expired == 1, "{what}");
        // A push that was given up or refused moves nothing from then on.
        let held = pushes::lock(conn, HOST, self.repository, &self.run_of(0))
            .unwrap()
            .unwrap();
        if held.state == push_state::DENIED {
            assert_eq!(self.prepared.load(Ordering::SeqCst) & 1, 0, "{what}");
        }
        let last = events::last_at(conn, self.repository, now() + Duration::days(9)).unwrap();
        let row = repositories::find(conn, self.repository).unwrap().unwrap();
        assert_eq!(last + 1, row.next_seq, "{what}: a gap");
    }
}

fn connect(url: &str) -> PgConnection {
    let mut conn = PgConnection::establish(url).unwrap();
    // What is tried is who wins, not what a crash leaves behind.
    conn.batch_execute("SET synchronous_commit = off; SET lock_timeout = '20s'")
        .unwrap();
    conn
}

#[test]
fn of_approvers_expiry_cancel_and_pushes_one_wins() {
    let wanted = std::env::var("REFWARDEN_RACE_SCHEDULES").ok();
    let wanted: u64 = wanted.map_or(500, |text| text.parse().unwrap());
    let stack = Stack::start();
    let url = &stack.started().database_url;
    let outcomes = std::sync::Mutex::new(BTreeMap::<String, u64>::new());
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CREWS {
            scope.spawn(|| {
                let mut conns: Vec<PgConnection> = (0..LANES).map(|_| connect(url)).collect();
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= wanted {
                        return;
                    }
                    let schedule = Schedule::new(&mut conns[0]);
                    let lanes = Seeded(seed).lanes();
                    std::thread::scope(|scope| {
                        for (conn, lane) in conns.iter_mut().zip(&lanes) {
                            let schedule = &schedule;
                            scope
                                .spawn(move || lane.iter().for_each(|&it| schedule.step(conn, it)));
                        }
                    });
                    schedule.check(&mut conns[0], &format!("seed {seed}: {lanes:?}"));
                    let request = requests::find(&mut conns[0], &schedule.request).unwrap();
                    let mut outcomes = outcomes.lock().unwrap();
                    *outcomes.entry(request.unwrap().state).or_default() += 1;
                }
            });
        }
    });
    // Every end comes about, so that none of the checks above is idle.
    let outcomes = outcomes.into_inner().unwrap();
    for end in [
        state::USED,
        state::APPROVED,
        state::REJECTED,
        state::EXPIRED,
    ] {
        assert!(outcomes.contains_key(end) || wanted < 500, "{outcomes:?}");
    }
    assert_eq!(outcomes.values().sum::<u64>(), wanted, "{outcomes:?}");
}
