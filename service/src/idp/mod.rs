//! The built-in identity provider of the quick start.
pub struct Idp;
impl Idp {
    pub fn open(
        _: &refwarden_config::Config,
        _: &refwarden_config::QuickStart,
        _: &std::path::Path,
    ) -> Result<Self, String> {
        Ok(Self)
    }
}
use actix_web::HttpResponse;
pub async fn discovery() -> HttpResponse {
    HttpResponse::NotFound().finish()
}
pub async fn jwks() -> HttpResponse {
    HttpResponse::NotFound().finish()
}
pub async fn authorize_form() -> HttpResponse {
    HttpResponse::NotFound().finish()
}
pub async fn authorize_submit() -> HttpResponse {
    HttpResponse::NotFound().finish()
}
pub async fn token() -> HttpResponse {
    HttpResponse::NotFound().finish()
}
