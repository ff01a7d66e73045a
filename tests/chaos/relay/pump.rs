//! One connection through the relay.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use super::sql::Watch;
use super::{Connection, Mode, Shared, Trap, end};

/// The trap that the next answer runs into.
type Holding = Arc<Mutex<Option<Arc<Trap>>>>;

/// Connects to the server and passes bytes on both ways, until either side ends.
pub fn start(shared: &Arc<Shared>, client: TcpStream) {
    let Ok(server) = UnixStream::connect(&shared.upstream) else {
        end(&client, false);
        return;
    };
    let _ = client.set_nodelay(true);
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let (Ok(asking), Ok(asked)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    {
        let mut connections = shared.connections.lock().unwrap();
        // Those whose client has gone are not kept.
        connections.retain(|it| {
            let mut byte = [0];
            let _ = it.client.set_nonblocking(true);
            let ended = matches!(it.client.peek(&mut byte), Ok(0));
            let _ = it.client.set_nonblocking(false);
            !ended
        });
        connections.push(Connection {
            client: client_too,
            server: server_too,
        });
    }
    let holding: Holding = Arc::default();
    let (held, there) = (Arc::clone(&holding), Arc::clone(shared));
    std::thread::spawn(move || ask(&there, asking, asked, &held));
    let there = Arc::clone(shared);
    std::thread::spawn(move || answer(&there, client, server, &holding));
}

/// From the service to the database.
fn ask(shared: &Shared, mut client: TcpStream, mut server: UnixStream, holding: &Holding) {
    let mut watch = Watch::default();
    let mut bytes = vec![0; 64 << 10];
    while let Ok(length @ 1..) = client.read(&mut bytes) {
        shared.pass();
        let commits = watch.commits(&bytes[..length]);
        let trap = shared.trap.lock().unwrap().clone();
        if let (Some(commits), Some(trap)) = (commits, trap)
            && commits == trap.transaction
        {
            if trap.after {
                *holding.lock().unwrap() = Some(trap);
            } else if !trap.stop() {
                break;
            }
        }
        if server.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}

/// From the database to the service.
fn answer(shared: &Shared, mut client: TcpStream, mut server: UnixStream, holding: &Holding) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(length @ 1..) = server.read(&mut bytes) {
        let trap = holding.lock().unwrap().take();
        if trap.is_some_and(|trap| !trap.stop()) {
            end(&client, false);
            let _ = server.shutdown(Shutdown::Both);
            return;
        }
        shared.pass();
        if client.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let by_reset = shared.mode() == Mode::Reset;
    end(&client, by_reset);
    let _ = server.shutdown(Shutdown::Both);
}
