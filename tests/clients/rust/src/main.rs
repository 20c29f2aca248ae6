//! What a DNSSEC signer asks of a KMIP server, through the crate kmip-protocol: a key pair, a new name, a signature, the
//! public key, random octets, an end. Usage: kmip-client HOST PORT CA CERTIFICATE KEY; prints `name value` lines.

use std::error::Error;
use std::net::TcpStream;
use std::sync::Arc;

use kmip_protocol::client::{Client, ClientBuilder, Error as KmipError};
use kmip_protocol::types::common::{KeyMaterial, Operation};
use kmip_protocol::types::response::ManagedObject;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn connect(arguments: &[String]) -> Result<Client<Stream>, Box<dyn Error>> {
    let [host, port, ca, certificate, key] = arguments else {
        return Err("usage: kmip-client HOST PORT CA CERTIFICATE KEY".into());
    };
    let mut roots = RootCertStore::empty();
    for each in CertificateDer::pem_file_iter(ca)? {
        roots.add(each?)?;
    }
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(host.clone())?)?;
    let socket = TcpStream::connect((host.as_str(), port.parse()?))?;
    Ok(ClientBuilder::new(StreamOwned::new(connection, socket)).build())
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let client = connect(&arguments)?;

    let query = client.query()?;
    println!("vendor {}", query.vendor_identification.unwrap_or_default());
    println!("signs {}", query.operations.unwrap_or_default().contains(&Operation::Sign));

    let (private, public) = client.create_rsa_key_pair(2048, "zone private".into(), "zone public".into())?;
    client.rename_key(&private, "zone 1 private".into())?;
    client.activate_key(&private)?;
    println!("signature {}", hex(&client.sign(&private, b"a zone")?.signature_data));

    let found = client.get_key(&public)?;
    let ManagedObject::PublicKey(key) = found.cryptographic_object else {
        return Err("the public key is something else".into());
    };
    println!("algorithm {:?}", key.key_block.cryptographic_algorithm);
    match key.key_block.key_value.key_material {
        KeyMaterial::Bytes(octets) => println!("public {}", hex(&octets)),
        KeyMaterial::TransparentRSAPublicKey(key) => println!("transparent {key:?}"),
        other => return Err(format!("a public key of this form: {other:?}").into()),
    }
    println!("random {}", client.rng_retrieve(32)?.data.len());

    match client.destroy_key(&private) {
        Err(KmipError::ServerError(text)) => println!("active {text}"),
        other => return Err(format!("an active key was destroyed: {other:?}").into()),
    }
    client.revoke_key(&private)?;
    client.destroy_key(&private)?;
    client.destroy_key(&public)?;
    match client.get_key("nothing") {
        Err(KmipError::ItemNotFound(text)) => println!("missing {text}"),
        other => return Err(format!("a key that is not there: {other:?}").into()),
    }
    Ok(())
}
