//! Just enough of HTML to fill in a form of our own pages.

/// A form.
#[derive(Debug, PartialEq, Eq)]
pub struct Form {
    /// Where it goes.
    pub action: String,
    /// Its input fields: name, value, type.
    pub fields: Vec<Field>,
}

/// An input field.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Its type, `text` where none is given.
    pub kind: String,
}

impl Form {
    /// The first form of a page that has a field of that name.
    pub fn with_field(html: &str, name: &str) -> Option<Self> {
        forms(html).find(|form| form.fields.iter().any(|field| field.name == name))
    }

    /// What is posted: hidden fields as they are, and what was filled in.
    pub fn filled(&self, filled: &[(&str, &str)]) -> Vec<(String, String)> {
        let hidden = self.fields.iter().filter(|field| field.kind == "hidden");
        let hidden = hidden.map(|field| (field.name.clone(), field.value.clone()));
        let mut all: Vec<(String, String)> = hidden.collect();
        all.retain(|(name, _)| filled.iter().all(|(other, _)| other != name));
        all.extend(
            filled
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        all
    }
}

fn forms(html: &str) -> impl Iterator<Item = Form> {
    html.split("<form").skip(1).map(|rest| {
        let form = rest.split("</form").next().unwrap_or(rest);
        let (opening, body) = form.split_once('>').unwrap_or((form, ""));
        let fields = body.split("<input").skip(1).filter_map(|input| {
            let tag = input.split('>').next().unwrap_or(input);
            Some(Field {
                name: attribute(tag, "name")?,
                value: attribute(tag, "value").unwrap_or_default(),
                kind: attribute(tag, "type").unwrap_or_else(|| "text".to_owned()),
            })
        });
        Form {
            action: attribute(opening, "action").unwrap_or_default(),
            fields: fields.collect(),
        }
    })
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = format!("{name}=");
    let at = tag.match_indices(&start).find(|(at, _)| {
        let before = tag.get(..*at).unwrap_or_default();
        before.is_empty() || before.ends_with(char::is_whitespace)
    });
    let rest = tag.get(at?.0 + start.len()..)?;
    let value = match rest.chars().next()? {
        quote @ ('"' | '\'') => rest.get(1..)?.split(quote).next()?,
        _ => rest.split(|c: char| c.is_whitespace() || c == '/').next()?,
    };
    Some(unescape(value))
}

fn unescape(text: &str) -> String {
    let mut text = text.to_owned();
    for (entity, character) in [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#x27;", "'"),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&#60;", "<"),
        ("&gt;", ">"),
        ("&#62;", ">"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, character);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_found_and_filled_in() {
        let html = r#"<form action="/search"><input name=q></form>
            <form method="post" action="/idp/authorize?a=1&amp;b=2" data-name="x">
            <input type="hidden" name="csrf" value="t&#34;1"><input name="user">
            <input type="password" name="password"></form>"#;
        let form = Form::with_field(html, "password").unwrap();
        assert_eq!(form.action, "/idp/authorize?a=1&b=2");
        assert_eq!(
            form.filled(&[("user", "grace")]),
            [
                ("csrf".to_owned(), "t\"1".to_owned()),
                ("user".to_owned(), "grace".to_owned())
            ]
        );
        assert_eq!(Form::with_field(html, "digest"), None);
    }
}
