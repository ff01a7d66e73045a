//! Pages.
use actix_web::HttpResponse;
pub fn security_headers() -> actix_web::middleware::DefaultHeaders {
    actix_web::middleware::DefaultHeaders::new()
}
pub async fn inbox() -> HttpResponse {
    HttpResponse::NotFound().finish()
}
pub async fn request_page() -> HttpResponse {
    HttpResponse::NotFound().finish()
}
pub async fn decide() -> HttpResponse {
    HttpResponse::NotFound().finish()
}
pub async fn sign_in() -> HttpResponse {
    HttpResponse::NotFound().finish()
}
pub async fn callback() -> HttpResponse {
    HttpResponse::NotFound().finish()
}
pub async fn sign_out() -> HttpResponse {
    HttpResponse::NotFound().finish()
}
pub async fn static_file() -> HttpResponse {
    HttpResponse::NotFound().finish()
}
