//! `origin-guard print`: what a file is fitted to, and what it refuses to be.

mod support;

use support::command;

/// Status, what was printed, and what was said on standard error.
fn print(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = command()
        .arg("print")
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn options_and_variables_are_put_in() {
    let own = [
        ("SECRET_HEADER", "X-Origin-Secret"),
        ("API_KEY_HEADER", "X-Api-Key"),
    ];
    for (file, arguments, parts) in [
        (
            "nginx",
            "--backend 127.0.0.1:3000 --name a.example --socket /run/a.sock --cert /etc/a.pem --key /etc/a.key",
            "server 127.0.0.1:3000;|server_name a.example;|server unix:/run/a.sock;|/etc/a.pem;|/etc/a.key;|\
             proxy_set_header X-Origin-Secret \"\";",
        ),
        (
            "caddy",
            "--backend http://app:3000 --name a.example --socket 127.0.0.1:8888 --cert /etc/a.pem --key /etc/a.key",
            "reverse_proxy app:3000 {|\na.example {|reverse_proxy 127.0.0.1:8888 {|\ttls /etc/a.pem /etc/a.key|\
             header_up -X-Origin-Secret",
        ),
        (
            "haproxy",
            "--backend [::1]:3000 --socket /a.sock --cert /etc/a.pem",
            "server origin [::1]:3000 |lua.origin_guard unix@/a.sock X-Origin-Secret |crt /etc/a.pem |\
             del-header X-Origin-Secret",
        ),
        (
            "envoy",
            "--backend app:3000 --socket unix:/run/a.sock --cert /etc/a.pem --key /etc/a.key",
            "address: \"app\", port_value: 3000|pipe: { path: /run/a.sock }|filename: /etc/a.pem|\
             filename: /etc/a.key|exact: x-origin-secret",
        ),
        (
            "traefik",
            "--backend app:3000 --name a.example --socket 127.0.0.1:9",
            "http://app:3000|Host(`a.example`)|http://127.0.0.1:9/verify|X-Origin-Secret: \"\"",
        ),
        (
            "nginx-gateway",
            "--backend b.example --name a.example --socket /run/g.sock",
            "server b.example:443;|proxy_ssl_name b.example;|Host b.example;|/etc/ssl/a.example/fullchain.pem;|\
             $upstream_http_x_origin_secret;|proxy_set_header X-Api-Key \"\";",
        ),
        (
            "caddy-gateway",
            "--backend https://b.example:8443",
            "reverse_proxy https://b.example:8443 {|tls_server_name b.example|header_up -X-Api-Key|\
             {rp.header.X-Origin-Secret}",
        ),
        (
            "haproxy-gateway",
            "--backend b.example:8443 --socket /g.sock",
            "server origin b.example:8443 |verifyhost b.example |\
             lua.origin_gateway unix@/g.sock X-Api-Key X-Origin-Secret",
        ),
    ] {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let (status, text, faults) = print(&[&[file], &arguments[..]].concat(), &own);
        assert_eq!((status, faults.as_str()), (Some(0), ""), "{file}");
        for part in parts.split('|') {
            assert!(text.contains(part), "no {part:?} in {file}: {text}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_explained() {
    for (arguments, said) in [
        (&["nginx", "--backend", "a;b:1"][..], "write HOST:PORT"),
        (&["nginx", "--backend", "127.0.0.1"], "write HOST:PORT"),
        (&["nginx", "--backend", "https://a:1"], "in clear"),
        (
            &["nginx-gateway", "--backend", "127.0.0.1:443"],
            "for a name",
        ),
        (&["nginx-gateway", "--backend", "http://a.example"], "TLS"),
        (&["caddy", "--name", "a {"], "byte 2"),
        (&["caddy", "--name", "a\nimport b"], "byte 2"),
        (&["nginx", "--cert", "/a", "--key", "b"], "absolute"),
        (&["nginx", "--cert", "/a"], "--key"),
        (&["envoy", "--key", "/a"], "--cert"),
        (&["haproxy", "--key", "/a"], "no place"),
        (&["haproxy-lua", "--socket", "/a"], "fitted to nothing"),
        (&["socket", "--name", "a"], "--role"),
        (
            &["socket", "--role", "TLS"],
            "plain, tls, gateway, gateway-tls, redirect or admin",
        ),
        (&["unit", "--role", "tls"], "--backend"),
        (&["nginx", "--role", "tls"], "--role"),
        (&["unit", "--name", "a"], "it takes --backend"),
        (
            &["unit", "--backend", "127.0.0.1:3000"],
            "write http://127.0.0.1:3000",
        ),
        (&["unit", "--backend", "http://unix:/run/a b"], "plain path"),
        (&["traefik", "--socket", "/a"], "127.0.0.1:8888"),
        (&["nginx", "--socket", "192.0.2.1:80"], "on this machine"),
        (&["nginx", "--socket", "/$a"], "byte 2"),
        (&["nginx", "--name", "a", "--name", "b"], "twice"),
        (&["nginx", "--user", "a"], "--user"),
        (&["nginx", "caddy"], "caddy"),
        (&["--name", "a"], "--name"),
        (&["service"], "print unit;"),
        (&["systemd"], "print unit and socket;"),
        (&["gateway"], "nginx-gateway, caddy-gateway"),
        (&["Caddyfile"], "print caddy;"),
        (&["ngin"], "print nginx"),
        (&["azure"], "print azure-front-door;"),
        (&["zuplo", "--backend", "a:1"], "it takes --name"),
        (&["kong", "--name", "a/b"], "byte 2"),
        (&["kong", "--name", "a", "--name", "b"], "twice"),
    ] {
        let (status, text, faults) = print(arguments, &[]);
        assert_eq!((status, text.as_str()), (Some(64), ""), "{arguments:?}");
        assert!(faults.contains(said), "{arguments:?}: {faults}");
    }
    for (name, value, said) in [
        ("SECRET_HEADER", "X$Secret", "byte 2"),
        ("SECRET_HEADER", "X_Secret", "byte 2"),
        ("SECRET_HEADER", "Host", "choose another"),
        ("SECRET_HEADER", "x-consumer", "choose another"),
        ("SECRET_HEADER", "Authorization", "choose another"),
        ("API_KEY_HEADER", "Content-Type", "choose another"),
        ("API_KEY_HEADER", "x-shared-secret", "choose another header"),
    ] {
        let (status, text, faults) = print(&["nginx-gateway"], &[(name, value)]);
        assert_eq!((status, text.as_str()), (Some(78), ""), "{name}={value}");
        assert!(
            faults.contains(name) && faults.contains(said),
            "{name}={value}: {faults}"
        );
    }
}

#[test]
fn a_gateway_keeps_some_headers_to_itself() {
    for (gateway, header) in [
        ("cloudfront", "X-Amz-Secret"),
        ("cloudflare", "CF-Secret"),
        ("azure-front-door", "X-Azure-FDID"),
        ("zuplo", "Authorization"),
    ] {
        let (status, text, faults) = print(&[gateway], &[("SECRET_HEADER", header)]);
        assert_eq!((status, text.as_str()), (Some(78), ""), "{gateway}");
        assert!(
            faults.contains("SECRET_HEADER") && faults.contains("choose another"),
            "{faults}"
        );
    }
}

#[test]
fn a_socket_unit_has_a_role() {
    let (status, text, errors) = print(&["socket", "--role", "tls"], &[]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    for line in ["FileDescriptorName=tls", "ListenStream=0.0.0.0:443"] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    let help = command().args(["print", "socket", "--help"]).output();
    let help = String::from_utf8(help.expect("runs").stdout).expect("UTF-8");
    assert!(
        help.contains("plain, tls, gateway, gateway-tls, redirect or admin"),
        "{help}"
    );
    let plain = print(&["socket", "--role", "plain"], &[]);
    assert_eq!(plain, print(&["socket"], &[]));
    let gateway = print(&["socket", "--role", "gateway"], &[]);
    assert_eq!(gateway, print(&["gateway-socket"], &[]));
}

/// The blocks of code in a text: what is indented by four spaces.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in text.lines() {
        match (line.strip_prefix("    "), blocks.last_mut()) {
            (Some(code), Some(block)) => block.extend([code, "\n"]),
            _ => blocks.push(String::new()),
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

#[test]
fn a_gateway_that_others_run_is_told_which_header_to_set() {
    for (gateway, facts) in [
        ("zuplo", "\"Securing your backend\""),
        ("cloudfront", "\"Add custom headers to origin requests\""),
        (
            "azure-front-door",
            "\"Secure traffic to Azure Front Door origins\"",
        ),
        ("cloudflare", "\"Request Header Transform"),
        ("fastly", "\"req.backend.is_origin\""),
        ("rapidapi", "\"Security and Threat Protection\""),
        ("apisix", "\"proxy-rewrite\""),
        ("kong", "\"Request Transformer\""),
    ] {
        let arguments = [gateway, "--name", "api.example.com"];
        let (status, text, faults) = print(&arguments, &[("SECRET_HEADER", "X-Origin-Secret")]);
        assert_eq!((status, faults.as_str()), (Some(0), ""), "{gateway}");
        let header = match gateway {
            "rapidapi" => "X-RapidAPI-Proxy-Secret",
            _ => "X-Origin-Secret",
        };
        for part in [
            &format!("\n    SECRET_HEADER={header}\n"),
            "ALLOW_FROM",
            "\nFacts: ",
            facts,
            "origin-guard probe https://api.example.com/",
        ] {
            assert!(text.contains(part), "no {part:?} in {gateway}: {text}");
        }
        assert!(!text.contains("origin.example"), "{text}");
        assert!(
            text.matches("{{").count() == usize::from(gateway == "kong"),
            "{text}"
        );
        assert!(
            text.lines()
                .all(|line| line.starts_with("    ") || line.len() < 96),
            "{text}"
        );
        // What is JSON is whole.
        for block in blocks(&text).iter().filter(|block| block.starts_with('{')) {
            let json: serde_json::Value = serde_json::from_str(block).expect(gateway);
            assert!(json.to_string().contains("X-Origin-Secret"), "{block}");
        }
    }
    let (_, text, _) = print(&["azure-front-door"], &[]);
    assert!(
        text.contains("X-Azure-FDID is an identifier and no secret"),
        "{text}"
    );
    assert!(text.contains("https://origin.example/"), "{text}");
}

#[test]
fn what_is_yaml_is_whole() {
    let has_yaml = std::process::Command::new("python3")
        .args(["-c", "import yaml"])
        .output();
    if !has_yaml.is_ok_and(|output| output.status.success()) {
        return support::skip("needs PyYAML; apt install python3-yaml");
    }
    for (gateway, place) in [
        (
            "apisix",
            "['routes'][0]['plugins']['proxy-rewrite']['headers']['set']['X-Shared-Secret']",
        ),
        (
            "kong",
            "['services'][0]['plugins'][0]['config']['add']['headers'][0]",
        ),
    ] {
        let (_, text, _) = print(&[gateway], &[]);
        let blocks = blocks(&text);
        let block = blocks
            .iter()
            .find(|block| block.contains("upstream:") || block.contains("services:"));
        let script = format!("import sys, yaml; print(yaml.safe_load(sys.argv[1]){place})");
        let output = std::process::Command::new("python3")
            .args(["-c", &script, block.expect("a block")])
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.contains("ORIGIN_SECRET"),
            "{gateway}: {said}{output:?}"
        );
    }
}
