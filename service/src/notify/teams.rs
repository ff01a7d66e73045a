//! A notice as the Workflows app of Microsoft Teams takes it: a message with an Adaptive Card
//! (<https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>,
//! <https://adaptivecards.io/explorer/>). Texts stand in `TextRun`, which has no markup, unlike
//! `TextBlock` and `FactSet`, which read Markdown.

use serde_json::{Value, json};

use super::text::Text;

/// The message.
pub fn message(text: &Text) -> Value {
    let title =
        json!({"type": "TextRun", "text": text.title, "weight": "Bolder", "size": "Medium"});
    let mut body = vec![json!({"type": "RichTextBlock", "inlines": [title]})];
    for (label, value) in &text.facts {
        body.push(
            json!({"type": "RichTextBlock", "spacing": "Small", "inlines": [
                {"type": "TextRun", "text": format!("{label}: "), "isSubtle": true},
                {"type": "TextRun", "text": value},
            ]}),
        );
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
                "actions": [
                    {"type": "Action.OpenUrl", "title": text.link_name, "url": text.link},
                ],
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::text::tests::hostile;

    #[test]
    fn texts_stand_where_nothing_reads_markdown() {
        let made = message(&Text::of(&hostile()));
        let card = &made["attachments"][0]["content"];
        for block in card["body"].as_array().unwrap() {
            assert_eq!(block["type"], "RichTextBlock");
            for run in block["inlines"].as_array().unwrap() {
                assert_eq!(run["type"], "TextRun");
            }
        }
        assert_eq!(card["actions"][0]["url"], "https://rw.example/r/ABCDEFGH");
        assert_eq!(card["actions"].as_array().unwrap().len(), 1);
    }
}
