//! The webhook over TLS on loopback, called by curl as the API server calls it,
//! with a stand-in for the API server behind it.

use std::{
    convert::Infallible,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use ldbg_injector::{ApiServer, Config, Webhook, serve, tls};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::{JoinHandle, spawn_blocking},
};
use tokio_rustls::TlsAcceptor;

/// A folder with a certificate for 127.0.0.1, its key and a token.
struct Files(PathBuf);

impl Files {
    fn new(test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        fs::create_dir_all(&folder).expect("a folder for the test");
        let files = Self(folder);
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout".as_ref(), files.path("key.pem").as_os_str()])
            .args(["-out".as_ref(), files.path("cert.pem").as_os_str()])
            .output()
            .expect("openssl starts (Debian's package openssl)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        files.token("first");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn token(&self, token: &str) {
        fs::write(self.path("token"), format!("{token}\n")).expect("a token file");
    }

    fn tls(&self) -> Arc<rustls::ServerConfig> {
        let read = |name| fs::read(self.path(name)).expect("openssl wrote it");
        tls(&read("cert.pem"), &read("key.pem")).expect("a usable certificate")
    }
}

/// What the stand-in for the API server says to every request, and what it heard.
#[derive(Clone)]
enum Says {
    Namespace(Value),
    Status(u16),
    /// Tells that a request is there, and answers when it is told to.
    WhenTold(mpsc::Sender<oneshot::Sender<()>>),
    Nothing,
}

type Heard = Arc<Mutex<Vec<(String, String)>>>;

async fn api_server(files: &Files, says: Says) -> (ApiServer, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let heard = Heard::default();
    let acceptor = TlsAcceptor::from(files.tls());
    let hears = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, says, heard) = (acceptor.clone(), says.clone(), Arc::clone(&hears));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(move |request: Request<Incoming>| {
                    let authorization = request.headers()["authorization"].to_str().expect("text");
                    let line = (request.uri().path().to_owned(), authorization.to_owned());
                    heard.lock().expect("no panic").push(line);
                    say(says.clone())
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    let api_server = ApiServer { address, ca_file: files.path("cert.pem"), token_file: files.path("token") };
    (api_server, heard)
}

async fn say(says: Says) -> Result<Response<Full<Bytes>>, Infallible> {
    let namespace = match says {
        Says::Namespace(namespace) => namespace,
        Says::Status(status) => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = status.try_into().expect("a status");
            return Ok(response);
        }
        Says::WhenTold(arrived) => {
            let (tell, told) = oneshot::channel();
            arrived.send(tell).await.expect("the test waits");
            told.await.expect("the test tells");
            meshed()
        }
        Says::Nothing => std::future::pending().await,
    };
    Ok(Response::new(Full::from(namespace.to_string())))
}

struct Running {
    files: Files,
    address: SocketAddr,
    heard: Heard,
    end: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Running {
    async fn start(test: &str, says: Says) -> Self {
        let files = Files::new(test);
        let (api_server, heard) = api_server(&files, says).await;
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/admission/config.json");
        let config = Config::parse(&fs::read_to_string(config).expect("config.json")).expect("usable");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (end, ended) = oneshot::channel();
        let ended = async { ended.await.expect("the test ends it") };
        let served = tokio::spawn(serve(listener, files.tls(), Webhook { config, api_server }, ended));
        Self { files, address, heard, end, served }
    }

    /// Status and body of a curl to `path`; what there is of `body` is posted.
    fn curl(&self, path: &str, body: Option<String>) -> JoinHandle<(u16, String)> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code}"]);
        curl.arg("--cacert").arg(self.files.path("cert.pem"));
        curl.arg(format!("https://{}{path}", self.address));
        if let Some(body) = body {
            let file = self.files.path("body");
            fs::write(&file, body).expect("a file for the body");
            curl.args(["--header", "Content-Type: application/json", "--data-binary"]);
            curl.arg(format!("@{}", file.display()));
        }
        spawn_blocking(move || {
            let output = curl.output().expect("curl starts (Debian's package curl)");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).expect("text");
            let (body, status) = text.rsplit_once('\n').expect("a status line");
            (status.parse().expect("a number"), body.to_owned())
        })
    }

    /// The `response` of the AdmissionReview that answers one for `pod`.
    async fn review(&self, namespace: &str, pod: Value) -> Value {
        let (status, body) =
            self.curl("/inject", Some(review(namespace, pod).to_string())).await.expect("curl");
        assert_eq!(status, 200, "{body}");
        let mut review: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(review["kind"], "AdmissionReview");
        assert_eq!(review["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
        assert_eq!(review["response"]["allowed"], true, "a pod is never refused");
        review["response"].take()
    }

    fn heard(&self) -> Vec<(String, String)> {
        self.heard.lock().expect("no panic").clone()
    }
}

fn meshed() -> Value {
    json!({"metadata": {"name": "shop", "annotations": {"linkerd.io/inject": "enabled"}}})
}

fn pod() -> Value {
    json!({"metadata": {"generateName": "app-"}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}})
}

/// An AdmissionReview with the fields that a Kubernetes 1.34 sends.
fn review(namespace: &str, pod: Value) -> Value {
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
            "object": pod,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}
        }
    })
}

#[tokio::test]
async fn a_pod_of_a_meshed_namespace_gets_a_patch() {
    let webhook = Running::start("patch", Says::Namespace(meshed())).await;
    let response = webhook.review("shop", pod()).await;
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = STANDARD.decode(response["patch"].as_str().expect("text")).expect("base64");
    let patch: Value = serde_json::from_slice(&patch).expect("JSON");
    assert_eq!(patch[0]["path"], "/spec/containers/-");
    assert_eq!(patch[0]["value"]["name"], "linkerd-debug");
    assert_eq!(webhook.heard(), [("/api/v1/namespaces/shop".to_owned(), "Bearer first".to_owned())]);
}

#[tokio::test]
async fn a_token_that_was_replaced_is_used_at_once() {
    let webhook = Running::start("token", Says::Namespace(meshed())).await;
    webhook.review("shop", pod()).await;
    webhook.files.token("second");
    webhook.review("shop", pod()).await;
    assert_eq!(webhook.heard()[1].1, "Bearer second");
}

#[tokio::test]
async fn the_api_server_is_not_asked_where_the_pod_settles_it() {
    let webhook = Running::start("settled", Says::Namespace(meshed())).await;
    let mut pod = pod();
    pod["metadata"]["annotations"] = json!({"linkerd.io/inject": "disabled"});
    let response = webhook.review("shop", pod).await;
    assert_eq!((&response["patch"], &response["warnings"]), (&Value::Null, &Value::Null));
    assert_eq!(webhook.heard(), []);
}

#[tokio::test]
async fn a_namespace_that_cannot_be_read_leaves_the_pod_with_a_warning() {
    for (test, says, expected) in [
        ("forbidden", Says::Status(403), "the service account may not get namespaces"),
        ("failing", Says::Status(500), "the API server answered 500 Internal Server Error"),
        ("silent", Says::Nothing, "the API server did not answer within 2 s"),
        ("garbled", Says::Namespace(json!("no object")), "the API server's answer cannot be used"),
    ] {
        let webhook = Running::start(test, says).await;
        let response = webhook.review("shop", pod()).await;
        assert_eq!(response["patch"], Value::Null);
        let warning = response["warnings"][0].as_str().expect("a warning");
        assert!(warning.contains(expected), "{warning}");
        assert!(warning.len() <= 256, "{warning}");
    }
}

#[tokio::test]
async fn a_namespace_that_would_be_another_path_is_not_asked_for() {
    let webhook = Running::start("path", Says::Namespace(meshed())).await;
    let response = webhook.review("shop/secrets", pod()).await;
    let warning = response["warnings"][0].as_str().expect("a warning");
    assert!(warning.contains(r#""shop/secrets" is not the name of a namespace"#), "{warning}");
    assert_eq!(webhook.heard(), []);
}

#[tokio::test]
async fn what_is_not_the_creation_of_a_pod_is_admitted_unchanged() {
    let webhook = Running::start("others", Says::Namespace(meshed())).await;
    for (field, value) in [
        ("operation", json!("UPDATE")),
        ("subResource", json!("ephemeralcontainers")),
        ("resource", json!({"group": "apps", "resource": "deployments"})),
    ] {
        let mut review = review("shop", pod());
        review["request"][field] = value;
        let (status, body) = webhook.curl("/inject", Some(review.to_string())).await.expect("curl");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(status, 200);
        assert_eq!(answer["response"], json!({"uid": review["request"]["uid"], "allowed": true}), "{field}");
    }
}

#[tokio::test]
async fn what_is_not_a_review_is_refused_and_the_server_goes_on() {
    let webhook = Running::start("refused", Says::Namespace(meshed())).await;
    let old = json!({"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview",
        "request": review("shop", pod())["request"]});
    let no_pod = review("shop", json!({"spec": "none"}));
    for (path, body, expected, error) in [
        ("/inject", Some("{".into()), 400, "not an AdmissionReview: "),
        ("/inject", Some("{}".into()), 400, "not an AdmissionReview: missing field"),
        ("/inject", Some(old.to_string()), 400, "expected an AdmissionReview of admission.k8s.io/v1, not"),
        ("/inject", Some(no_pod.to_string()), 400, "request.object is not a Pod: "),
        ("/inject", Some(" ".repeat((3 << 20) + 1)), 413, "expected at most 3145728 bytes"),
        ("/inject", None, 405, "expected POST"),
        ("/inject/", Some("{}".into()), 404, "expected /inject, /inject/opted-in, /livez or /readyz"),
        ("/livez", Some("{}".into()), 405, "expected GET"),
    ] {
        let (status, body) = webhook.curl(path, body).await.expect("curl");
        assert_eq!(status, expected, "{path}: {body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let said = body["error"].as_str().expect("an error");
        assert!(said.starts_with(error), "{said}");
    }
    assert_eq!(webhook.curl("/readyz", None).await.expect("curl"), (200, "ok\n".into()));
    assert_eq!(webhook.curl("/livez", None).await.expect("curl"), (200, "ok\n".into()));
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_end() {
    let (arrived, mut arrivals) = mpsc::channel(1);
    let webhook = Running::start("end", Says::WhenTold(arrived)).await;
    let curl = webhook.curl("/inject", Some(review("shop", pod()).to_string()));
    let tell = arrivals.recv().await.expect("the namespace is asked for");
    webhook.end.send(()).expect("it runs");
    // The listener is gone before the answer is given.
    while tokio::net::TcpStream::connect(webhook.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    tell.send(()).expect("it waits");
    let (status, body) = curl.await.expect("curl");
    assert_eq!(status, 200);
    assert!(body.contains("JSONPatch"), "{body}");
    webhook.served.await.expect("no panic").expect("it ends well");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (one, other) = (Files::new("key-one"), Files::new("key-other"));
    let read = |files: &Files, name| fs::read(files.path(name)).expect("openssl wrote it");
    let error = tls(&read(&one, "cert.pem"), &read(&other, "key.pem")).expect_err("they do not fit");
    assert!(error.to_string().starts_with("the certificate and its key cannot be used"), "{error}");
    let error = tls(&read(&one, "cert.pem"), b"").expect_err("no key");
    assert!(error.to_string().starts_with("no private key in the key file"), "{error}");
    let error = tls(b"", &read(&one, "key.pem")).expect_err("no certificate");
    assert!(error.to_string().starts_with("the certificate"), "{error}");
}
