//! `seal` and the real kubeseal, each against the other's controller, as people call them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bed::cluster::PATIENCE;
use bed::peer::SealedSecretsController;
use bed::{Bed, Tenant};
use serde_json::{Value, json};

use crate::support::{CANARY, condition, reference_account, run, secret, stdout, value};

const SEALED: &str = "bitnami.com/v1alpha1 SealedSecret";

async fn becomes_a_secret(tenant: &Tenant, name: &str) {
    let place = (SEALED, tenant.work.as_str(), name);
    let what = format!("{name} is opened");
    tenant.cluster.wait_for(&what, place, PATIENCE, |object| condition(object, "Synced", "True")).await.unwrap();
    let made = tenant.cluster.get("v1 Secret", &tenant.work, name).await.unwrap();
    assert_eq!(value(&made, "password"), CANARY, "{name}");
}

#[tokio::test]
async fn what_seal_seals_the_real_controller_opens() {
    assert!(bed::namespaces::inside(), "the reference controller needs the bed's namespaces: this test must run");
    let tenant = Bed::attach().unwrap().tenant("peer").await.unwrap();
    reference_account(&tenant).await;
    let peer = SealedSecretsController::start(&tenant, "reference").await.unwrap();
    let certificate = format!("{}/v1/cert.pem", peer.url);
    for scope in ["strict", "namespace-wide", "cluster-wide"] {
        let plain = secret(&tenant.work, scope, &json!({ "password": CANARY }));
        let sealed = run(&tenant, &tenant.bed.seal, &["--cert", &certificate, "--scope", scope], &plain.to_string());
        tenant.cluster.apply_object(&serde_json::from_str(&stdout(&sealed)).unwrap()).await.unwrap();
        becomes_a_secret(&tenant, scope).await;
    }
    // The old form, one value, as scripts call it.
    let raw = ["--cert", &certificate, "--raw", "--name", "raw", "--namespace", &tenant.work];
    let item = stdout(&run(&tenant, &tenant.bed.seal, &raw, CANARY));
    let object = json!({
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
        "metadata": { "name": "raw", "namespace": tenant.work },
        "spec": { "encryptedData": { "password": item.trim() } },
    });
    tenant.cluster.apply_object(&object).await.unwrap();
    becomes_a_secret(&tenant, "raw").await;
    verbs(&tenant, &peer).await;
    online(&tenant, &peer).await;
}

/// `seal` in a repository that pins the reference's certificate.
struct Repository<'t> {
    tenant: &'t Tenant,
    folder: PathBuf,
}

impl<'t> Repository<'t> {
    fn new(tenant: &'t Tenant, peer: &SealedSecretsController) -> Self {
        let folder = tenant.folder.join("repository");
        std::fs::create_dir_all(folder.join("certs")).unwrap();
        let settings = format!(
            "profile = \"peer\"\n[profiles.peer]\ncert = \"certs/peer.pem\"\ncontroller-namespace = \"{}\"\n",
            tenant.work
        );
        std::fs::write(folder.join(".seal.toml"), settings).unwrap();
        let certificate = format!("{}/v1/cert.pem", peer.url);
        let fetched = run(tenant, &tenant.bed.seal, &["cert", "fetch", "--cert", &certificate], "");
        std::fs::write(folder.join("certs/peer.pem"), stdout(&fetched)).unwrap();
        Self { tenant, folder }
    }

    fn output(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(&self.tenant.bed.seal)
            .args(arguments)
            .current_dir(&self.folder)
            .env("KUBECONFIG", &self.tenant.bed.kubeconfig)
            .env("HOME", "/nonexistent")
            .env("EDITOR", "sed -i 's/password: .*/password: '$EDITED'/'")
            .env("EDITED", CANARY)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        for said in [&output.stdout, &output.stderr] {
            assert!(!String::from_utf8_lossy(said).contains(CANARY), "{arguments:?} says a value");
        }
        output
    }

    fn seal(&self, arguments: &[&str], input: &str) -> String {
        let output = self.output(arguments, input);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {words}");
        words
    }

    /// A SealedSecret without the right value yet.
    fn started(&self, name: &str) -> String {
        let file = format!("{name}.yaml");
        let work = &self.tenant.work;
        self.seal(&["new", name, "-n", work, "--generate", "password=hex:8", "-w", &file], "");
        file
    }

    async fn apply(&self, file: &str, name: &str) {
        let text = std::fs::read_to_string(self.folder.join(file)).unwrap();
        assert!(!text.contains(CANARY), "{file} holds the value");
        for object in ::seal::manifest::documents(&text).unwrap() {
            self.tenant.cluster.apply_object(&object).await.unwrap();
        }
        becomes_a_secret(self.tenant, name).await;
    }
}

/// What each verb writes, the real controller opens.
async fn verbs(tenant: &Tenant, peer: &SealedSecretsController) {
    let repository = Repository::new(tenant, peer);
    let work = tenant.work.as_str();

    let value = repository.folder.join("value");
    std::fs::write(&value, CANARY).unwrap();
    let from_file = format!("password={}", value.display());
    repository.seal(&["new", "by-new", "-n", work, "--from-file", &from_file, "-w", "by-new.yaml"], "");
    std::fs::remove_file(&value).unwrap();
    repository.apply("by-new.yaml", "by-new").await;

    let file = repository.started("by-set");
    repository.seal(&["set", &file, "password", "--stdin"], &format!("{CANARY}\n"));
    repository.apply(&file, "by-set").await;

    let file = repository.started("by-edit");
    repository.seal(&["edit", &file], "");
    repository.apply(&file, "by-edit").await;

    let file = repository.started("by-rename");
    repository.seal(&["set", &file, "old", "--stdin"], CANARY);
    repository.seal(&["unset", &file, "password"], "");
    repository.seal(&["rename", &file, "--key", "old=password"], "");
    repository.apply(&file, "by-rename").await;

    let plain =
        format!("# stays\n{}", ::seal::yaml::write(&secret(work, "by-file", &json!({ "password": CANARY }))).unwrap());
    std::fs::write(repository.folder.join("by-file.yaml"), plain).unwrap();
    let guarded = repository.output(&["guard", "run"], "");
    assert_eq!(guarded.status.code(), Some(8), "the guard sees it");
    repository.seal(&["file", "by-file.yaml", "--in-place", "--scope", "namespace-wide"], "");
    repository.apply("by-file.yaml", "by-file").await;

    let file = repository.started("by-merge");
    let update = secret("", "any", &json!({ "password": CANARY })).to_string();
    repository.seal(&["--cert", "certs/peer.pem", "--merge-into", &file], &update);
    repository.apply(&file, "by-merge").await;

    repository.seal(&["check", "--strict"], "");
    assert!(repository.output(&["guard", "run"], "").status.success());
}

/// What needs the controller: sealing anew, asking, moving, backing up.
async fn online(tenant: &Tenant, peer: &SealedSecretsController) {
    tenant.expose_url(&peer.url, &tenant.work, "sealed-secrets-controller").await.unwrap();
    let repository = Repository::new(tenant, peer);
    let started = std::time::Instant::now();
    // The proxy learns of new Endpoints in its own time.
    while !repository.output(&["cert", "verify"], "").status.success() {
        assert!(
            started.elapsed() < PATIENCE,
            "{}",
            String::from_utf8_lossy(&repository.output(&["cert", "verify"], "").stderr)
        );
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    repository.seal(&["check", "--live", "by-set.yaml"], "");

    // Sealed anew inside the cluster: other ciphertext, nothing else changed, and it opens.
    let before = std::fs::read_to_string(repository.folder.join("by-set.yaml")).unwrap();
    let told = repository.seal(&["reseal", "by-set.yaml", "--older-than", "365d"], "");
    assert!(told.contains("1 file, 0 depend on keys older than 365d"), "{told}");
    let unchanged = std::fs::read_to_string(repository.folder.join("by-set.yaml")).unwrap();
    assert_eq!(before, unchanged, "the key is younger than that");
    let other = before.replace("chancery.dev/sealed", "example.com/other");
    std::fs::write(repository.folder.join("by-set.yaml"), &other).unwrap();
    let told = repository.seal(&["reseal", "by-set.yaml"], "");
    for words in [
        "1 file, 1 are not sealed with the newest key",
        "1/1  re-encrypted inside the cluster, plaintext never came here",
        "old ciphertext stays in git history: treat those values as due for rotation",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let after = std::fs::read_to_string(repository.folder.join("by-set.yaml")).unwrap();
    let differing = other.lines().filter(|line| !after.contains(line)).count();
    assert_eq!(differing, 1, "{other}\n{after}");
    assert_eq!(repository.output(&["diff", "by-set.yaml"], "").status.code(), Some(1), "the cluster has the old one");
    repository.apply("by-set.yaml", "by-set").await;
    repository.seal(&["diff", "by-set.yaml"], "");

    // Moved: the values come from the Secret, and are sealed for the new name.
    repository.seal(&["rename", "by-set.yaml", "--name", "moved", "--reseal"], "");
    repository.apply("by-set.yaml", "moved").await;

    // Keys: backed up for an age key, and a file opened with the backup alone.
    let list = repository.output(&["keys", "list"], "");
    assert!(String::from_utf8_lossy(&list.stdout).contains("sealing"), "{list:?}");
    let recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    std::fs::write(
        repository.folder.join("identity"),
        "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n",
    )
    .unwrap();
    repository.seal(&["keys", "backup", "--to", recipient, "-w", "keys.age"], "");
    repository.seal(
        &[
            "recover",
            "--key",
            "age:keys.age",
            "--identity",
            "identity",
            "by-new.yaml",
            "--yes",
            "--output-file",
            "recovered.yaml",
        ],
        "",
    );
    let recovered = std::fs::read_to_string(repository.folder.join("recovered.yaml")).unwrap();
    let recovered = ::seal::manifest::documents(&recovered).unwrap();
    assert_eq!(crate::support::value(&recovered[0], "password"), CANARY);
    std::fs::remove_file(repository.folder.join("recovered.yaml")).unwrap();
    let restored = repository.seal(&["keys", "restore", "keys.age", "--identity", "identity", "--yes"], "");
    assert!(restored.contains("there already"), "{restored}");
}

#[tokio::test]
async fn what_kubeseal_does_with_a_controller_seal_does() {
    assert!(bed::namespaces::inside(), "the reference controller needs the bed's namespaces: this test must run");
    let tenant = Bed::attach().unwrap().tenant("recorded").await.unwrap();
    reference_account(&tenant).await;
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("cli/tests/recorded");
    for key in ["ctlold", "ctlnew"] {
        let read = |end: &str| std::fs::read_to_string(recorded.join(format!("keys/{key}.{end}"))).unwrap();
        tenant
            .cluster
            .apply_object(&json!({
                "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                "metadata": {
                    "name": key, "namespace": tenant.work,
                    "labels": { "sealedsecrets.bitnami.com/sealed-secrets-key": "active" },
                },
                "stringData": { "tls.crt": read("crt"), "tls.key": read("key") },
            }))
            .await
            .unwrap();
    }
    let peer = SealedSecretsController::start(&tenant, "reference").await.unwrap();
    tenant.expose_url(&peer.url, &tenant.work, "sealed-secrets-controller").await.unwrap();
    let mut lab = crate::lab::Lab::new(&tenant.bed.seal, &recorded);
    let place = ("SEALED_SECRETS_CONTROLLER_NAMESPACE".to_owned(), tenant.work.clone());
    lab.cluster = Some((tenant.bed.kubeconfig.clone(), vec![place]));
    let started = std::time::Instant::now();
    // Also until the proxy has learned of the Endpoints; the reference allows itself two requests a second.
    let (ran, failures) = loop {
        let (ran, failures) = lab.failures(|case| {
            let wanted = case["needs_controller"] == true;
            if wanted {
                std::thread::sleep(std::time::Duration::from_millis(600));
            }
            wanted
        });
        if failures.is_empty() || started.elapsed() > PATIENCE {
            break (ran, failures);
        }
    };
    assert!(ran > 10, "{ran} cases");
    assert!(failures.is_empty(), "{} of {ran} failed:\n{}\n{}", failures.len(), failures.join("\n"), peer.tail(5));
}

/// One test at a time has an operator in kube-system, or counts on none.
static KUBE_SYSTEM: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
async fn kubeseal_and_seal_find_us_through_the_api_server() {
    assert!(bed::namespaces::inside(), "the Service proxy needs the bed's namespaces: this test must run");
    let _alone = KUBE_SYSTEM.lock().await;
    // As the overlay `drop-in` installs it: in kube-system, under kubeseal's default names, so no flag is needed.
    let tenant = Bed::attach().unwrap().tenant_from("proxy", "overlays/drop-in").await.unwrap();
    let tenant = Tenant { keys: "kube-system".to_owned(), ..tenant };
    let operator = tenant.operator(&["--controllers=sealed-secrets"]).await.unwrap().reachable().unwrap();
    let _running = operator.start().unwrap();
    tenant.expose(&operator, "sealed-secrets-controller").await.unwrap();
    let mut certificates = Vec::new();
    for (program, name) in [(&tenant.bed.kubeseal, "kubeseal"), (&tenant.bed.seal, "seal")] {
        let started = std::time::Instant::now();
        let certificate = loop {
            let output = run(&tenant, program, &["--fetch-cert"], "");
            // The proxy learns of new Endpoints in its own time.
            if output.status.success() || started.elapsed() > PATIENCE {
                break stdout(&output);
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        };
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"), "{name}: {certificate}");
        certificates.push(certificate);
        let plain = secret(&tenant.work, name, &json!({ "password": CANARY }));
        let sealed = stdout(&run(&tenant, program, &["--format", "json"], &plain.to_string()));
        let sealed: Value = serde_json::from_str(&sealed).unwrap();
        tenant.cluster.apply_object(&sealed).await.unwrap();
        becomes_a_secret(&tenant, name).await;
    }
    assert_eq!(certificates[0].trim(), certificates[1].trim());

    // Whoever looks after the keys: what needs which, a new one on request, and a pin that follows it.
    let seal = |arguments: &[&str]| {
        let output = run_in(&tenant, &tenant.folder, arguments);
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let pinned = seal(&["cert", "fetch", "--pin"]);
    assert_eq!(pinned.0, Some(0), "{}", pinned.2);
    let usage = || -> Value {
        let (code, words, error) = seal(&["keys", "usage", "-o", "json"]);
        assert_eq!(code, Some(0), "{error}");
        serde_json::from_str(&words).unwrap()
    };
    let started = std::time::Instant::now();
    while usage()["items"][0]["items"] != 2 {
        assert!(started.elapsed() < PATIENCE, "two items need the key: {}", usage());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let renewed = seal(&["keys", "renew"]);
    assert_eq!(renewed.0, Some(0), "{}", renewed.2);
    while usage()["items"].as_array().map(Vec::len) != Some(2) {
        assert!(started.elapsed() < 2 * PATIENCE, "the report has both keys: {}", usage());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let verified = seal(&["cert", "verify"]);
    assert_eq!(verified.0, Some(1), "{}", verified.2);
    assert!(verified.2.contains("was replaced in the cluster today (pinned "), "{}", verified.2);
    let followed = seal(&["cert", "fetch", "--pin"]);
    assert_eq!(followed.0, Some(0), "the cluster knows the pinned key: {}", followed.2);
    let table = seal(&["keys", "usage", "-A"]);
    assert!(table.1.contains("new seals go here") && table.1.contains("never taken"), "{}", table.1);
    for (name, verb) in [("keys", "list"), ("key-usage", "usage")] {
        let (schema, value) = (seal(&["schema", name]).1, seal(&["keys", verb, "-o", "json"]).1);
        let (schema, value) = (serde_json::from_str(&schema).unwrap(), serde_json::from_str(&value).unwrap());
        assert_eq!(crate::shape::mismatch(&schema, &value), None, "{name}: {value:#}");
    }
}

#[tokio::test]
async fn whoever_finds_no_controller_is_told_where_we_looked_and_how_far_they_see() {
    let tenant = Bed::attach().unwrap().tenant("nowhere").await.unwrap();
    let _alone = KUBE_SYSTEM.lock().await;
    // Left there by the operator of another test, and read by everybody.
    tenant.cluster.delete("v1 ConfigMap", "kube-system", "chancery-public-keys").await.unwrap();
    let (user, work, keys) = (format!("{}-dev", tenant.work), tenant.work.as_str(), tenant.keys.as_str());
    let group = "rbac.authorization.k8s.io";
    let may = |kind: &str, namespace: Option<&str>, rules: Value| {
        let metadata = json!({ "name": format!("{user}-looks"), "namespace": namespace });
        let of = |kind: String, rest: Value| {
            let mut object = json!({ "apiVersion": format!("{group}/v1"), "kind": kind, "metadata": metadata });
            object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            object
        };
        let bound = json!({
            "roleRef": { "apiGroup": group, "kind": kind, "name": metadata["name"] },
            "subjects": [{ "apiGroup": group, "kind": "User", "name": user }],
        });
        [of(kind.to_owned(), json!({ "rules": rules })), of(format!("{kind}Binding"), bound)]
    };
    let list = json!([{ "apiGroups": [""], "resources": ["services"], "verbs": ["list"] }]);
    let look = json!([
        { "apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"] },
        { "apiGroups": [""], "resources": ["services"], "resourceNames": ["nothing-here"], "verbs": ["get"] },
    ]);
    let service = |namespace: &str| {
        json!({
            "apiVersion": "v1", "kind": "Service", "spec": { "ports": [{ "name": "http", "port": 80 }] },
            "metadata": {
                "name": "sealer", "namespace": namespace, "labels": { "app.kubernetes.io/component": "sealing" },
            },
        })
    };
    let rights = [may("ClusterRole", None, look), may("Role", Some(work), list.clone()), may("Role", Some(keys), list)];
    for object in rights.iter().flatten().chain([&service(work), &service(&tenant.apps)]) {
        tenant.cluster.apply_object(object).await.unwrap();
    }
    let fetch = ["cert", "fetch", "--controller-name", "nothing-here", "--as", &user];
    let output = run_in(&tenant, &tenant.folder, &fetch);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{words}");
    for part in [
        "error[E0502]: found no sealing service in context ",
        "looked for kube-system/nothing-here, chancery-system/nothing-here, and for Services labelled \
         app.kubernetes.io/component=sealing",
        "you may list Services in 2 of ",
        &format!("Service {work}/sealer may be it: --controller-namespace {work} --controller-name sealer"),
        "name it: --controller-namespace NAMESPACE --controller-name NAME; or use a file: --cert FILE",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(!words.contains(&tenant.apps), "what nobody may see is not told: {words}");
}

#[tokio::test]
async fn where_the_api_server_does_not_reach_the_controller_its_config_map_is_read() {
    let tenant = Bed::attach().unwrap().tenant("private").await.unwrap();
    let _running = tenant.operator(&["--controllers=sealed-secrets"]).await.unwrap().start().unwrap();
    let place = ("v1 ConfigMap", tenant.keys.as_str(), "chancery-public-keys");
    let published = |object: &Value| object["data"]["cert.pem"].is_string();
    let map = tenant.cluster.wait_for("certificates are published", place, PATIENCE, published).await.unwrap();
    // The Service is there, and nobody behind it: to the proxy the same as a firewall.
    let metadata = json!({ "name": "sealed-secrets-controller", "namespace": tenant.keys });
    let ports = json!([{ "name": "http", "port": 8080 }]);
    for object in [
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": { "ports": ports } }),
        json!({ "apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": [] }),
    ] {
        tenant.cluster.apply_object(&object).await.unwrap();
    }
    let there = ["--controller-namespace", &tenant.keys];
    let fetch = ["cert", "fetch", "-o", "pem"];
    let new = ["new", "db", "-n", &tenant.work, "--generate", "password=hex:8"];
    let instead = format!("read the certificate from ConfigMap {}/chancery-public-keys instead", tenant.keys);
    let started = std::time::Instant::now();
    for (line, product) in [(&fetch[..], map["data"]["cert.pem"].as_str().unwrap()), (&new, "kind: SealedSecret\n")] {
        loop {
            let output = run_in(&tenant, &tenant.folder, &[line, &there].concat());
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(stdout(&output).contains(product), "{line:?}: {output:?}");
            assert!(words.contains(&instead), "{words}");
            if words.contains("the API server could not reach the controller pod (service proxy: 503)") {
                break;
            }
            // The proxy learns of the Service in its own time.
            assert!(started.elapsed() < PATIENCE, "{words}");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }
}

/// `seal` in a folder, with the bed's kubeconfig.
fn run_in(tenant: &Tenant, folder: &Path, arguments: &[&str]) -> Output {
    std::fs::create_dir_all(folder).unwrap();
    Command::new(&tenant.bed.seal)
        .args(arguments)
        .current_dir(folder)
        .env("KUBECONFIG", &tenant.bed.kubeconfig)
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}
