//! The rule files that ship with the crate.

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$((concat!("rules/", $name, ".toml"), include_str!(concat!("../rules/", $name, ".toml")))),+]
    };
}

/// Name and text of each file.
pub(crate) const FILES: &[(&str, &str)] = files![
    "age",
    "anthropic",
    "aws",
    "azure",
    "databricks",
    "digitalocean",
    "discord",
    "docker",
    "doppler",
    "github",
    "gitlab",
    "google",
    "grafana",
    "hashicorp",
    "huggingface",
    "jwt",
    "linear",
    "mailchimp",
    "mailgun",
    "newrelic",
    "notion",
    "npm",
    "openai",
    "postman",
    "private_key",
    "pypi",
    "refwarden",
    "sendgrid",
    "shopify",
    "slack",
    "square",
    "stripe",
    "telegram",
    "twilio",
];
