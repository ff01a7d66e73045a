//! A notice in the shape of Slack's incoming webhooks: `text` for notifications, `blocks` for the
//! message (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>). What
//! comes from outside stands in `plain_text`, which has no markup; `text` is escaped.

use serde_json::{Value, json};

use super::text::Text;

/// The longest header, in characters (Slack's limit is 150).
const MAX_HEADER: usize = 150;

/// The message.
pub fn message(text: &Text) -> Value {
    let facts: Vec<String> = text
        .facts
        .iter()
        .map(|(label, it)| format!("{label}: {it}"))
        .collect();
    let plain = |text: &str| json!({"type": "plain_text", "text": text, "emoji": false});
    let header: String = text.title.chars().take(MAX_HEADER).collect();
    let link = format!("<{}|{}>", escape(&text.link), text.link_name);
    let mut blocks = vec![json!({"type": "header", "text": plain(&header)})];
    if !facts.is_empty() {
        blocks.push(json!({"type": "section", "text": plain(&facts.join("\n"))}));
    }
    blocks.push(
        json!({"type": "section", "text": {"type": "mrkdwn", "text": link, "verbatim": true}}),
    );
    json!({
        "text": format!("{}\n{}", escape(&text.title), escape(&text.link)),
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": blocks,
    })
}

/// The three characters that mark something up anywhere in a text
/// (<https://docs.slack.dev/messaging/formatting-message-text#escaping>). Without them neither a
/// link nor a mention such as `<!channel>` can be written.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::text::tests::hostile;

    #[test]
    fn nothing_from_outside_is_markup() {
        let made = message(&Text::of(&hostile()));
        let text = made["text"].as_str().unwrap();
        assert!(
            text.contains("&lt;!channel&gt; &lt;https://evil.example|x&gt;"),
            "{text}"
        );
        assert!(!text.contains(['<', '>']), "{text}");
        let blocks = made["blocks"].as_array().unwrap();
        let marked: Vec<&str> = blocks
            .iter()
            .filter(|it| it["text"]["type"] == "mrkdwn")
            .map(|it| it["text"]["text"].as_str().unwrap())
            .collect();
        assert_eq!(marked, ["<https://rw.example/r/ABCDEFGH|Open the request>"]);
        assert!(blocks[0]["text"]["text"].as_str().unwrap().chars().count() <= MAX_HEADER);
        assert_eq!(blocks[1]["text"]["type"], "plain_text");
    }
}
