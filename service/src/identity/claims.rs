//! Claims by their strict JSON types. A claim of the wrong type is an error, never "absent":
//! older JWT libraries skipped `exp` when it was a string (CVE-2026-25537).

use std::collections::BTreeMap;

use refwarden_config::{Issuer, IssuerKind};
use refwarden_model::{Actor, ActorChain, ActorKind};
use refwarden_policy::Scopes;
use serde_json::{Map, Value};

use super::TokenError;

/// The claims of a token whose signature was verified.
pub struct Claims(pub Map<String, Value>);

/// How many actors a chain may hold beside the pusher.
const MAX_CHAIN: usize = 4;

impl Claims {
    /// A claim that must be a non-empty string of at most 512 bytes without controls.
    pub fn text(&self, name: &'static str) -> Result<String, TokenError> {
        text_in(&self.0, name)?.ok_or(TokenError::Malformed("a required claim is missing"))
    }

    /// A claim that, where present, must be such a string.
    pub fn optional_text(&self, name: &'static str) -> Result<Option<String>, TokenError> {
        text_in(&self.0, name)
    }

    /// A claim that must be a whole number of seconds since the epoch.
    pub fn seconds(&self, name: &'static str) -> Result<i64, TokenError> {
        let value = self.0.get(name).and_then(Value::as_i64);
        let sane = value.filter(|seconds| (0..=32_503_680_000).contains(seconds));
        sane.ok_or(TokenError::Malformed(
            "exp, nbf and iat must be whole seconds",
        ))
    }

    /// Whether `aud` is, or lists, the audience.
    pub fn has_audience(&self, audience: &str) -> Result<bool, TokenError> {
        match self.0.get("aud") {
            Some(Value::String(one)) => Ok(one == audience),
            Some(Value::Array(many)) if many.iter().all(Value::is_string) => {
                Ok(many.iter().any(|one| one == audience))
            }
            _ => Err(TokenError::Malformed(
                "aud must be a string or a list of strings",
            )),
        }
    }

    /// The actor chain: `act` (RFC 8693, section 4.1) names who acts for `sub`.
    pub fn actor_chain(&self, issuer: &Issuer) -> Result<ActorChain, TokenError> {
        let subject = self.subject(issuer)?;
        let Some(act) = self.0.get("act") else {
            return Ok(ActorChain {
                pusher: subject,
                on_behalf_of: Vec::new(),
            });
        };
        // The outermost `act` is the current actor; those nested in it acted before.
        let mut actors = Vec::new();
        let mut next = Some(act);
        while let Some(act) = next {
            if actors.len() == MAX_CHAIN {
                return Err(TokenError::Malformed("act is nested too deeply"));
            }
            let Value::Object(act) = act else {
                return Err(TokenError::Malformed("act must be an object"));
            };
            let name = text_in(act, "sub")?.ok_or(TokenError::Malformed("act needs a sub"))?;
            let iss = text_in(act, "iss")?.unwrap_or_else(|| issuer.url.clone());
            actors.push(Actor {
                issuer: iss,
                subject: name,
                kind: ActorKind::Agent,
                name: None,
                email: None,
                groups: Vec::new(),
                claims: std::collections::BTreeMap::new(),
            });
            next = act.get("act");
        }
        let pusher = actors.remove(0);
        actors.push(subject);
        Ok(ActorChain {
            pusher,
            on_behalf_of: actors,
        })
    }

    /// The actor chain of a token of our own, as it was written.
    pub fn own_chain(&self, claim: &str) -> Result<ActorChain, TokenError> {
        let chain = self.0.get(claim).cloned().map(serde_json::from_value);
        let chain = chain.and_then(Result::ok);
        chain.ok_or(TokenError::Malformed("the actor chain is missing"))
    }

    /// What the token may be used for at most. A scope that is not understood is an error.
    pub fn scopes(&self, claim: &str) -> Result<Scopes, TokenError> {
        self.0.get(claim).map_or(Ok(Scopes::default()), |claim| {
            Scopes::from_claim(claim)
                .map_err(|_| TokenError::Malformed("its scope is not understood"))
        })
    }

    fn subject(&self, issuer: &Issuer) -> Result<Actor, TokenError> {
        let subject = self.text("sub")?;
        // A token whose subject is the client itself was given to a program (RFC 9068,
        // section 2.2).
        let is_client = self.optional_text("client_id")?.as_ref() == Some(&subject);
        let kind = match issuer.kind {
            IssuerKind::Ci => ActorKind::Ci,
            IssuerKind::Agent => ActorKind::Agent,
            IssuerKind::Human if is_client => ActorKind::Agent,
            IssuerKind::Human => ActorKind::Human,
        };
        let verified = self.0.get("email_verified") == Some(&Value::Bool(true));
        let email = if verified {
            self.optional_text("email")?
        } else {
            None
        };
        Ok(Actor {
            issuer: issuer.url.clone(),
            subject,
            kind,
            name: self.optional_text("name")?,
            email,
            groups: self.groups(&issuer.groups_claim)?,
            claims: self.kept(&issuer.claims)?,
        })
    }

    /// The claims that the issuer's configuration keeps for policy, as strings.
    fn kept(&self, names: &[String]) -> Result<BTreeMap<String, Vec<String>>, TokenError> {
        let wrong = TokenError::Malformed("a claim that policy asks for has the wrong type");
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            _ => None,
        };
        let mut kept = BTreeMap::new();
        for name in names {
            let values = match self.0.get(name) {
                None | Some(Value::Null) => continue,
                Some(Value::Array(list)) if list.len() <= 1000 => list.iter().map(text).collect(),
                Some(one) => text(one).map(|one| vec![one]),
            };
            let values: Vec<String> = values.ok_or_else(|| wrong.clone())?;
            kept.insert(name.clone(), values);
        }
        Ok(kept)
    }

    fn groups(&self, claim: &str) -> Result<Vec<String>, TokenError> {
        let Some(value) = self.0.get(claim) else {
            return Ok(Vec::new());
        };
        let list = value.as_array().filter(|list| list.len() <= 1000);
        let wrong = TokenError::Malformed("groups must be a list of strings");
        let list = list.ok_or_else(|| wrong.clone())?;
        list.iter()
            .map(|group| group.as_str().map(str::to_owned).ok_or(wrong.clone()))
            .collect()
    }
}

fn text_in(map: &Map<String, Value>, name: &str) -> Result<Option<String>, TokenError> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text))
            if !text.is_empty() && text.len() <= 512 && !text.chars().any(char::is_control) =>
        {
            Ok(Some(text.clone()))
        }
        Some(_) => Err(TokenError::Malformed("a claim has the wrong type")),
    }
}
