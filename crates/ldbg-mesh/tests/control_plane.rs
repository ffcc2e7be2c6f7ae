//! The control plane's answers, as recorded from a real one and played by its own
//! server side, come out as the model's types; what is no answer is an error in time.

use std::{collections::BTreeMap, time::Duration};

use ldbg_mesh::{ControlPlane, ControlPlaneError};
use ldbg_model::{Controller, Endpoint, EndpointsAnswer, InboundPolicy, OutboundPolicy, ProxyEnvironment};
use ldbg_probe::Names;
use ldbg_testkit::{ControlPlaneServer, Told, recorded};
use tokio::{io::AsyncWriteExt, net::TcpListener};
use tonic::Code;

fn environment(address: impl ToString) -> ProxyEnvironment {
    let controller = Some(Controller { address: address.to_string(), name: None });
    ProxyEnvironment {
        destination_controller: controller.clone(),
        policy_controller: controller,
        ..ProxyEnvironment::default()
    }
}

fn names() -> Names {
    Names::from_text("nameserver 127.0.0.1", "")
}

/// A server that plays `answers`, and the environment that names it.
async fn played(answers: BTreeMap<String, Told>) -> (ControlPlaneServer, ProxyEnvironment) {
    let server = ControlPlaneServer::start(answers).await.expect("a free port");
    let environment = environment(server.address());
    (server, environment)
}

async fn endpoints(
    answers: BTreeMap<String, Told>,
    authority: &str,
) -> Result<EndpointsAnswer, ControlPlaneError> {
    let (_server, environment) = played(answers).await;
    ControlPlane::new(&environment, &names()).endpoints(authority).await
}

/// The only endpoint of the recorded Service.
async fn endpoint(folder: &str, authority: &str) -> Endpoint {
    match endpoints(recorded(folder), authority).await.expect("an answer") {
        EndpointsAnswer::Endpoints { mut endpoints } if endpoints.len() == 1 => endpoints.remove(0),
        other => panic!("{folder}: {other:?}"),
    }
}

async fn outbound(folder: &str, target: &str) -> Option<OutboundPolicy> {
    let (_server, environment) = played(recorded(folder)).await;
    let names = names();
    let target = target.parse().expect("an address");
    ControlPlane::new(&environment, &names).outbound_policy(target).await.expect("an answer")
}

async fn inbound(folder: &str, workload: &str, port: u16) -> Option<InboundPolicy> {
    let (_server, environment) = played(recorded(folder)).await;
    let names = names();
    ControlPlane::new(&environment, &names).inbound_policy(workload, port).await.expect("an answer")
}

#[tokio::test]
async fn a_meshed_endpoint_has_its_identity_its_proxys_port_and_its_pod() {
    let identity = "backend.00-healthy.serviceaccount.identity.linkerd.cluster.local";
    let expected = Endpoint {
        address: "10.245.0.150:8080".parse().expect("an address"),
        identity: Some(identity.into()),
        inbound_port: Some(4143),
        pod: Some("backend-c5c455f6-nlrfn".into()),
        in_mesh: true,
    };
    assert_eq!(endpoint("00-healthy", "backend.00-healthy.svc.cluster.local:80").await, expected);
}

#[tokio::test]
async fn an_unmeshed_endpoint_and_one_whose_port_is_skipped_are_told_apart() {
    let unmeshed =
        endpoint("19a-unmeshed-refused", "backend.19a-unmeshed-refused.svc.cluster.local:80").await;
    assert_eq!((unmeshed.identity, unmeshed.inbound_port, unmeshed.in_mesh), (None, None, false));
    let skipped =
        endpoint("10b-inbound-port-skipped", "backend.10b-inbound-port-skipped.svc.cluster.local:80").await;
    assert_eq!((skipped.identity, skipped.inbound_port, skipped.in_mesh), (None, None, true));
}

#[tokio::test]
async fn a_services_address_is_asked_for_by_the_name_that_its_profile_gives() {
    let by_address = endpoint("once", "10.97.16.52:80").await;
    assert_eq!(by_address, endpoint("once", "backend.extras.svc.cluster.local:80").await);
    assert_eq!(by_address.address, "10.245.0.84:8080".parse().expect("an address"));
}

#[tokio::test]
async fn a_pods_address_is_its_own_endpoint() {
    let pod = endpoint("once", "10.245.0.84:8080").await;
    assert_eq!(pod.address, "10.245.0.84:8080".parse().expect("an address"));
    assert_eq!(pod.pod.as_deref(), Some("backend-649d6b98b5-zg2x4"));
    assert!(pod.identity.is_some_and(|identity| identity.starts_with("backend.extras.")));
}

#[tokio::test]
async fn a_missing_service_is_not_found_and_an_unknown_address_is_an_error() {
    let missing = endpoints(recorded("once"), "nosuch.extras.svc.cluster.local:80").await;
    assert_eq!(missing.expect("an answer"), EndpointsAnswer::NotFound);
    // What GetProfile said of a port that its Service does not have.
    let error = endpoints(recorded("11-undefined-port"), "10.97.197.127:8888").await.expect_err("no name");
    assert_eq!(
        error.to_string(),
        "Destination.GetProfile: no Service and no pod has 10.97.197.127:8888; \
         ask for NAME.NAMESPACE.svc.DOMAIN:PORT"
    );
}

#[tokio::test]
async fn silence_about_a_service_counts_only_of_a_controller_that_answers_other_questions() {
    let authority = "backend.01-no-ready-endpoints.svc.cluster.local:80";
    let mut answers = recorded("01-no-ready-endpoints");
    let dead = endpoints(answers.clone(), authority).await.expect_err("nothing was said");
    assert!(matches!(dead, ControlPlaneError::NoAnswer { call: "Destination.Get", .. }), "{dead}");
    let profile = recorded("once").remove("profile backend.extras.svc.cluster.local:80").expect("recorded");
    answers.insert(format!("profile {authority}"), profile);
    assert_eq!(endpoints(answers, authority).await.expect("an answer"), EndpointsAnswer::Silence);
}

#[tokio::test]
async fn outbound_policies_name_their_resource_their_routes_and_their_breaker() {
    let service = |namespace: &str, port, routes: &[&str], failure_accrual| {
        Some(OutboundPolicy {
            kind: "Service".into(),
            namespace: namespace.into(),
            name: "backend".into(),
            port,
            routes: routes.iter().map(|&route| route.to_owned()).collect(),
            failure_accrual,
        })
    };
    assert_eq!(
        outbound("00-healthy", "10.97.71.52:80").await,
        service("00-healthy", 80, &["opaq", "http"], false)
    );
    assert_eq!(
        outbound("16-circuit-breaker", "10.97.71.85:80").await,
        service("16-circuit-breaker", 80, &["opaq", "http"], true)
    );
    assert_eq!(
        outbound("11-undefined-port", "10.97.197.127:8888").await,
        service("11-undefined-port", 8888, &["undefined-port"], false)
    );
    assert_eq!(
        outbound("18z-marked-opaque", "10.97.26.97:9000").await,
        service("18z-marked-opaque", 9000, &["opaq"], false)
    );
    let egress = outbound("27-egress-denied", "10.245.0.250:80").await.expect("a policy");
    assert_eq!(egress.kind, "EgressNetwork");
    assert_eq!(egress.routes, ["tcp-egress-deny", "http-egress-deny"]);
    assert_eq!(outbound("once", "10.245.0.84:8080").await, None);
}

#[tokio::test]
async fn inbound_policies_say_who_may_connect_the_kubelets_probes_aside() {
    let healthy = inbound("00-healthy", "00-healthy:backend-c5c455f6-nlrfn", 8080).await;
    let expected = InboundPolicy {
        workload: "00-healthy:backend-c5c455f6-nlrfn".into(),
        port: 8080,
        kind: "default".into(),
        name: "all-unauthenticated".into(),
        authorizations: 1,
        needs_identity: false,
        rate_limit: None,
    };
    assert_eq!(healthy, Some(expected));
    let strict = inbound("24-not-injected", "24-not-injected:strict-99dcddd98-v7l9x", 8080).await;
    let strict = strict.expect("a policy");
    assert_eq!((strict.authorizations, strict.needs_identity), (1, true));
    let closed =
        inbound("12a-http-unauthorized", "12a-http-unauthorized:backend-76cf557f47-2f8b2", 8080).await;
    let closed = closed.expect("a policy");
    assert_eq!((closed.kind.as_str(), closed.name.as_str()), ("server", "backend-http"));
    assert_eq!(closed.authorizations, 0);
    let limited = inbound("26-rate-limited", "26-rate-limited:backend-76cf557f47-tdgql", 8080).await;
    assert_eq!(limited.expect("a policy").rate_limit.as_deref(), Some("backend-limit"));
    assert_eq!(inbound("once", "extras:nosuch", 8080).await, None);
}

#[tokio::test]
async fn a_control_plane_of_another_version_is_an_error_that_cannot_write_on_the_terminal() {
    let refused = Told::Refused(Code::Unimplemented, "unknown\u{1b}[2J method".into());
    let question = "outbound 10.0.0.1:80";
    let (_server, environment) = played([(question.to_owned(), refused)].into()).await;
    let names = names();
    let target = "10.0.0.1:80".parse().expect("an address");
    let answer = ControlPlane::new(&environment, &names).outbound_policy(target).await;
    let error = answer.expect_err("unimplemented");
    assert_eq!(error.to_string(), "OutboundPolicies.Watch: Unimplemented: unknown\\u{1b}[2J method");
}

#[tokio::test]
async fn what_speaks_no_http2_or_says_nothing_is_an_error_in_time() {
    for says in
        [&b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"[..], b"", b"\0\0\0\0\0\0\0\0\0\0\0\0"]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let environment = environment(listener.local_addr().expect("bound"));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            stream.write_all(says).await.expect("sent");
            // Held open until the test ends.
            std::future::pending::<()>().await;
        });
        let names = names();
        let control_plane = ControlPlane::new(&environment, &names);
        let asked = control_plane.outbound_policy("10.0.0.1:80".parse().expect("an address"));
        let answer = tokio::time::timeout(Duration::from_secs(8), asked).await.expect("in time");
        assert!(answer.is_err(), "{says:?}: {answer:?}");
        server.abort();
    }
}

#[tokio::test]
async fn a_controller_that_is_not_configured_or_has_no_address_is_named() {
    let names = names();
    let nothing = ProxyEnvironment::default();
    let error = ControlPlane::new(&nothing, &names).endpoints("a.b:1").await.expect_err("not configured");
    assert!(error.to_string().contains("LINKERD2_PROXY_DESTINATION_SVC_ADDR"), "{error}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let closed = environment(listener.local_addr().expect("bound"));
    drop(listener);
    let error = ControlPlane::new(&closed, &names).endpoints("a.b:1").await.expect_err("nobody listens");
    assert!(error.to_string().ends_with(": Connection refused"), "{error}");
}
