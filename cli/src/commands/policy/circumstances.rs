//! From arguments to who pushes and when.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use refwarden_model::facts::PushFacts;
use refwarden_model::{Actor, ActorChain, ActorKind, ByteText};
use refwarden_policy::RecentPushes;
use refwarden_wire::api::RecentPushesOut;

use crate::args::{ActorKindArg, Circumstances};
use crate::failure::{Failure, Outcome};

impl Circumstances {
    /// Who pushes, and for whom.
    pub fn chain(&self) -> Outcome<ActorChain> {
        let subject = self.actor.clone().ok_or_else(|| {
            Failure::new("who pushes?").next("give --actor SUBJECT, and --actor-kind, --group, …")
        })?;
        let mut claims: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in &self.claims {
            claims.entry(name.clone()).or_default().push(value.clone());
        }
        let pusher = Actor {
            issuer: self.issuer.clone(),
            subject,
            kind: match self.actor_kind {
                ActorKindArg::Human => ActorKind::Human,
                ActorKindArg::Agent => ActorKind::Agent,
                ActorKindArg::Ci => ActorKind::Ci,
            },
            name: None,
            email: self.email.clone(),
            groups: self.groups.clone(),
            claims,
        };
        let person = |subject: &String| Actor {
            issuer: self.issuer.clone(),
            subject: subject.clone(),
            kind: ActorKind::Human,
            name: None,
            email: None,
            groups: Vec::new(),
            claims: BTreeMap::new(),
        };
        Ok(ActorChain {
            pusher,
            on_behalf_of: self.behalf_of.iter().map(person).collect(),
        })
    }

    /// When it comes in.
    pub fn now(&self) -> DateTime<Utc> {
        self.at.unwrap_or_else(Utc::now)
    }

    /// How often the pusher pushed before, if anything of it is given.
    pub fn recent(&self) -> Option<RecentPushes> {
        let (hour, day) = (self.pushes_last_hour, self.pushes_last_day);
        (hour.is_some() || day.is_some()).then(|| {
            let hour = hour.unwrap_or(0);
            RecentPushes {
                hour,
                day: day.unwrap_or(0).max(hour),
            }
        })
    }

    /// Adds properties and push options to facts that have none of their own.
    pub fn add_to(&self, facts: &mut PushFacts) {
        if !self.properties.is_empty() {
            facts.properties = Some(self.properties.iter().cloned().collect());
        }
        let options = self.push_options.iter();
        let options = options.map(|option| ByteText::from(option.as_str()));
        facts.push_options.extend(options);
    }
}

/// As a service tells it of a recorded push.
pub fn recent(told: RecentPushesOut) -> RecentPushes {
    RecentPushes {
        hour: told.hour,
        day: told.day,
    }
}
