//! Questions that a policy puts to approvers, their answers, and the digest that ties a decision
//! to both. An answer is a sentence of the approver's; what it says is not judged here.

use refwarden_model::Actor;
use refwarden_policy::{Requirement, is_listed};
use refwarden_wire::api::{AnswerIn, DecisionIn};
use sha2::{Digest, Sha256};

use crate::db::requests::Request;
use crate::error::AppError;

/// The longest answer, in bytes.
const MAX_ANSWER: usize = 2000;

/// What a person has to answer to approve: the questions of every requirement that names them,
/// each once, in the policy's order.
pub fn questions_for(requirements: &[Requirement], person: &Actor) -> Vec<String> {
    let mine = |needed: &&Requirement| is_listed(&needed.approvers, person);
    of(requirements.iter().filter(mine))
}

/// All questions of a request, each once.
pub fn questions(requirements: &[Requirement]) -> Vec<String> {
    of(requirements.iter())
}

fn of<'r>(requirements: impl Iterator<Item = &'r Requirement>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for question in requirements.flat_map(|needed| &needed.questions) {
        if !found.contains(question) {
            found.push(question.clone());
        }
    }
    found
}

/// The answers that are kept, in the order of the questions. Whoever rejects need not answer.
///
/// # Errors
/// [`AppError::BadRequest`] for a question that is not answered by somebody who approves, an
/// answer that is too long, and one to a question that nobody asked.
pub fn answers(asked: &[String], decision: &DecisionIn) -> Result<Vec<AnswerIn>, AppError> {
    if let Some(odd) = decision
        .answers
        .iter()
        .find(|it| !asked.contains(&it.question))
    {
        return Err(AppError::bad_request(format!(
            "Nobody asks you: {}",
            odd.question.chars().take(100).collect::<String>()
        )));
    }
    let mut kept = Vec::new();
    for question in asked {
        let given = decision.answers.iter().find(|it| it.question == *question);
        let answer = given.map(|it| it.answer.trim()).unwrap_or_default();
        if answer.len() > MAX_ANSWER {
            return Err(AppError::bad_request(
                "An answer is at most 2000 bytes long.",
            ));
        }
        if answer.is_empty() {
            if decision.decision == "approve" {
                return Err(AppError::bad_request(format!(
                    "Answer this before you approve: {question}"
                )));
            }
            continue;
        }
        kept.push(AnswerIn {
            question: question.clone(),
            answer: answer.to_owned(),
        });
    }
    Ok(kept)
}

/// Digest of a decision with all that was said, recorded in the event of the decision.
pub fn digest(
    request: &Request,
    person: &Actor,
    decision: &DecisionIn,
    answers: &[AnswerIn],
) -> String {
    let mut hasher = Sha256::new();
    let mut field = |text: &str| {
        hasher.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(text);
    };
    field("refwarden decision 1");
    field(&request.digest);
    field(&person.issuer);
    field(&person.subject);
    field(&decision.decision);
    field(decision.reason.trim());
    for given in answers {
        field(&given.question);
        field(&given.answer);
    }
    hex::encode(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(decision: &str, answers: &[(&str, &str)]) -> DecisionIn {
        DecisionIn {
            decision: decision.to_owned(),
            reason: String::new(),
            digest: String::new(),
            answers: answers
                .iter()
                .map(|(question, answer)| AnswerIn {
                    question: (*question).to_owned(),
                    answer: (*answer).to_owned(),
                })
                .collect(),
        }
    }

    #[test]
    fn whoever_approves_answers_everything_and_nothing_else() {
        let asked = ["A?".to_owned(), "B?".to_owned()];
        let long = "x".repeat(2001);
        for (what, given, good) in [
            ("approve", &[("B?", " no "), ("A?", "yes")][..], true),
            ("approve", &[("A?", "yes")], false),
            ("approve", &[("A?", "yes"), ("B?", "  ")], false),
            (
                "approve",
                &[("A?", "yes"), ("B?", "no"), ("C?", "what")],
                false,
            ),
            ("approve", &[("A?", &long), ("B?", "no")], false),
            ("reject", &[], true),
            ("reject", &[("A?", "no")], true),
        ] {
            let kept = answers(&asked, &decision(what, given));
            assert_eq!(kept.is_ok(), good, "{what} {given:?}");
        }
        let kept = answers(
            &asked,
            &decision("approve", &[("B?", " no "), ("A?", "yes")]),
        );
        let kept: Vec<_> = kept.unwrap().into_iter().map(|it| it.answer).collect();
        assert_eq!(kept, ["yes", "no"]);
    }
}
