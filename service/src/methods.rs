//! A path and the methods that it is served with. Any other is answered with 405 and those that
//! there are (RFC 9110, section 15.5.6). Who may come, and with what, is none of its business.

use actix_web::http::Method;
use actix_web::web::{self, resource};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, Route};

use crate::error::AppError;
use crate::web::refusal;

/// The path, with these handlers.
pub fn at<const N: usize>(path: &str, handlers: [(Method, Route); N]) -> Resource {
    let allow = handlers.each_ref().map(|(method, _)| method.as_str());
    let allow = allow.join(", ");
    let routes = handlers.into_iter().map(|(_, route)| route);
    let served = routes.fold(resource(path), Resource::route);
    served.default_service(web::to(move |request: HttpRequest| {
        let error = AppError::WrongMethod(allow.clone());
        async move { Err::<HttpResponse, _>(refusal(error, &request)) }
    }))
}

/// Answers `GET`.
pub fn get<F, Args>(handler: F) -> (Method, Route)
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    (Method::GET, web::get().to(handler))
}

/// Answers `POST`.
pub fn post<F, Args>(handler: F) -> (Method, Route)
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    (Method::POST, web::post().to(handler))
}
