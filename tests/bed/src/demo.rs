//! The main job, from a sealed password to a rollback, on the real servers, told step by step.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bed::cache::Cache;
use bed::cluster::{Cluster, PATIENCE, documents};
use bed::git::{GitServer, PASSWORD, Repository, USER};
use bed::operator::Operator;
use bed::vault::VaultClient;
use bed::{Bed, say};
use serde_json::{Value, json};

use super::{checkout, programs};

const APPLICATION: &str = "argoproj.io/v1alpha1 Application";
const DEPLOYMENT: &str = "apps/v1 Deployment";
const SECRET: &str = "v1 Secret";
const KEY_NAMESPACE: &str = "chancery-system";
const CONTROL: &str = "argocd";
const PRODUCTION: &str = "production";
/// The default is 30 s; a demo has no time to wait.
const GIT_POLL: &str = "2s";
/// What the developer seals.
const DB_PASSWORD: &str = "mysecretpassword";

/// Walks through it; `keep` leaves everything running until interrupted.
pub(crate) fn run(folder: &Path, record: Option<&Path>, keep: bool) -> Result<()> {
    let mut story = Story::default();
    let runtime = tokio::runtime::Runtime::new()?;
    let told = tell(&mut story, folder, &runtime, keep);
    if told.is_ok() {
        story.summary();
    }
    if let Some(file) = record {
        std::fs::write(file, story.lines.join("\n") + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    told
}

fn tell(story: &mut Story, folder: &Path, runtime: &tokio::runtime::Runtime, keep: bool) -> Result<()> {
    let cache = Cache::open()?;
    story.chapter("A control plane, OpenBao and a Git server");
    let parts = Bed::start(&cache, folder, &checkout(), &programs())?;
    parts.bed.play_kubelet()?;
    let git = GitServer::start(&folder.join("git"))?;
    let stage = runtime.block_on(async {
        let vault = parts.bed.vault().await?;
        anyhow::Ok(Stage { cluster: parts.bed.cluster().await?, vault, bed: parts.bed.clone(), git: &git, folder })
    })?;
    story.done("kube-apiserver, etcd, kube-controller-manager, OpenBao, Git over HTTPS: all real, on loopback");

    story.chapter("Install Chancery: kubectl apply -k deploy/base");
    let operator = runtime.block_on(stage.install())?;
    story.line(format!("  $ {}", operator.command_line()));
    let running = operator.start()?;
    story.done("custom resources, RBAC, Deployment applied; the Deployment's command line runs as its service account");

    let walked = runtime.block_on(stage.walk(story, &operator));
    if let Err(error) = &walked {
        say(format!("error: {error:#}"));
        say(format!("the operator's last lines:\n{}", running.tail(30)));
    }
    if keep {
        say(format!("export KUBECONFIG={}", parts.bed.kubeconfig.display()));
        say(format!("export VAULT_ADDR={} VAULT_TOKEN={}", parts.bed.vault_url, bed::vault::ROOT_TOKEN));
        say("everything goes on running; Ctrl-C ends it");
        runtime.block_on(tokio::signal::ctrl_c())?;
    }
    ensure!(running.stop(), "the operator did not stop by itself when it was asked to");
    walked
}

/// Everything on the stage.
struct Stage<'a> {
    bed: Bed,
    cluster: Cluster,
    vault: VaultClient,
    git: &'a GitServer,
    folder: &'a Path,
}

impl Stage<'_> {
    /// Applies `deploy/base` as it stands, and takes the operator's command line and identity from it.
    async fn install(&self) -> Result<Operator> {
        self.bed.kubectl(&["apply", "--server-side", "-k", &checkout().join("deploy/base").display().to_string()])?;
        let deployment = self.cluster.get(DEPLOYMENT, KEY_NAMESPACE, "chancery").await?;
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let arguments: Vec<&str> = container["args"]
            .as_array()
            .context("the Deployment has no arguments")?
            .iter()
            .filter_map(Value::as_str)
            // The pod's volume; the process gets a folder.
            .filter(|argument| !argument.starts_with("--cache-dir"))
            .collect();
        let poll = format!("--git-poll={GIT_POLL}");
        let arguments = [&arguments[..], &[poll.as_str()]].concat();
        let token = self.cluster.token(KEY_NAMESPACE, "chancery").await?;
        let server = (self.bed.url.as_str(), self.bed.ca.as_str(), token.as_str());
        Operator::new(&self.bed.operator, &self.folder.join("operator"), KEY_NAMESPACE, server, &arguments)
    }

    async fn walk(&self, story: &mut Story, operator: &Operator) -> Result<()> {
        let infra = self.git.create("infra-gitops")?;
        let teams = self.git.create("teams-gitops")?;
        let payments = self.git.create("payments-service")?;
        self.connect(&[&infra, &teams, &payments]).await?;

        self.seal_and_commit(story, operator, &infra).await?;
        self.apply_the_missions_objects(story, &infra, &teams, &payments).await?;
        self.revert_a_hand(story).await?;
        self.follow_the_store(story).await?;
        let before = self.image().await?;
        self.push_as_ci_does(story, &infra).await?;
        self.refuse_what_a_project_forbids(story, &teams, &payments).await?;
        self.roll_back(story, &infra, &before).await
    }

    /// Repository Secrets and the Git server's authority, as Argo CD's users have them.
    async fn connect(&self, repositories: &[&Repository]) -> Result<()> {
        for repository in repositories {
            let name = repository.bare.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let secret = json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {
                    "name": format!("repo-{name}"), "namespace": CONTROL,
                    "labels": { "argocd.argoproj.io/secret-type": "repository" },
                },
                "stringData": { "type": "git", "url": repository.url, "username": USER, "password": PASSWORD },
            });
            self.cluster.apply_object(&secret).await?;
        }
        let authorities = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "argocd-tls-certs-cm", "namespace": CONTROL },
            "data": { "127.0.0.1": self.git.ca },
        });
        self.cluster.apply_object(&authorities).await.map(drop)
    }

    async fn seal_and_commit(&self, story: &mut Story, operator: &Operator, infra: &Repository) -> Result<()> {
        story.chapter("A developer seals a password, offline but for the public certificate");
        story.line(
            "  $ kubectl create secret generic db-credentials --from-literal=password=… --dry-run=client -o yaml |",
        );
        story.line(format!("      seal --format yaml --cert {}/v1/cert.pem > db-credentials.yaml", operator.url));
        let sealed = self.seal(operator, "db-credentials", &format!("--from-literal=password={DB_PASSWORD}")).await?;
        ensure!(!sealed.contains(DB_PASSWORD), "the sealed file holds the password");
        let excerpt = sealed.lines().find(|line| line.trim_start().starts_with("password:")).unwrap_or_default();
        story.line(format!("  {}…", excerpt.chars().take(60).collect::<String>()));
        let token = self.vault.reader_token("demo", "shop").await?;
        let vault_token = self.seal(operator, "vault-token", &format!("--from-literal=token={token}")).await?;
        self.vault.write("shop/stripe", json!({ "apiKey": "sk-first" })).await?;
        let store = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "SecretStore", "metadata": { "name": "vault" },
            "spec": { "provider": { "vault": {
                "server": self.bed.vault_url, "path": "secret", "version": "v2",
                "auth": { "tokenSecretRef": { "name": "vault-token", "key": "token" } },
            } } },
        });
        let external = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": { "name": "stripe" },
            "spec": {
                "refreshInterval": "2s",
                "secretStoreRef": { "name": "vault" },
                "data": [{ "secretKey": "apiKey", "remoteRef": { "key": "shop/stripe", "property": "apiKey" } }],
            },
        });
        let commit = infra.commit(
            "Add the API and its secrets",
            &[
                ("apps/api/production/deployment.yaml", &deployment("a1b2c3d4")),
                ("apps/api/production/db-credentials.yaml", &sealed),
                ("apps/api/production/vault-token.yaml", &vault_token),
                ("apps/api/production/store.json", &store.to_string()),
                ("apps/api/production/stripe.json", &external.to_string()),
            ],
        )?;
        story.done(format!(
            "commit {} holds Deployment, SealedSecrets, SecretStore, ExternalSecret: no plaintext",
            &commit[..8]
        ));
        Ok(())
    }

    async fn apply_the_missions_objects(
        &self,
        story: &mut Story,
        infra: &Repository,
        teams: &Repository,
        payments: &Repository,
    ) -> Result<()> {
        story.chapter("Three objects of Argo CD's API: api-production, root-apps, team-payments");
        teams.commit("Teams add their Applications here", &[("apps/README.md", "By pull request.\n")])?;
        let mission = include_str!("../../golden/mission.yaml");
        for mut object in documents(mission)? {
            match object["metadata"]["name"].as_str() {
                Some("api-production") => object["spec"]["source"]["repoURL"] = infra.url.clone().into(),
                Some("root-apps") => object["spec"]["source"]["repoURL"] = teams.url.clone().into(),
                _ => object["spec"]["sourceRepos"] = json!([payments.url]),
            }
            self.cluster.apply_object(&object).await?;
        }
        let application = self
            .application("api-production", "synced", |object| object["status"]["sync"]["status"] == "Synced")
            .await?;
        let made = application["status"]["operationState"]["syncResult"]["resources"].as_array().map_or(0, Vec::len);
        story.done(format!("commit → cluster: {made} objects, namespace {PRODUCTION} made"));
        self.secret("db-credentials", "password", DB_PASSWORD).await?;
        story.done("SealedSecret → Secret db-credentials, with the password that was sealed");
        self.secret("stripe", "apiKey", "sk-first").await?;
        story.done("Vault → Secret stripe");
        self.application("api-production", "healthy", is_well).await?;
        story.done("Deployment api is healthy; api-production is Synced and Healthy");
        Ok(())
    }

    async fn revert_a_hand(&self, story: &mut Story) -> Result<()> {
        story.chapter("Somebody edits the live object: kubectl scale deployment api --replicas=5");
        self.bed.kubectl(&["scale", "deployment", "api", "-n", PRODUCTION, "--replicas=5"])?;
        story.restart();
        let place = (DEPLOYMENT, PRODUCTION, "api");
        self.cluster.wait_for("two replicas again", place, PATIENCE, |object| object["spec"]["replicas"] == 2).await?;
        story.done("reverted to what Git says");
        self.bed.kubectl(&["delete", "secret", "db-credentials", "-n", PRODUCTION])?;
        story.restart();
        self.secret("db-credentials", "password", DB_PASSWORD).await?;
        story.done("a deleted Secret is back");
        Ok(())
    }

    async fn follow_the_store(&self, story: &mut Story) -> Result<()> {
        story.chapter("A credential rotates in Vault: no commit, no redeploy");
        self.vault.write("shop/stripe", json!({ "apiKey": "sk-second" })).await?;
        story.restart();
        self.secret("stripe", "apiKey", "sk-second").await?;
        story.done("the Secret follows within its refreshInterval (2 s here)");
        Ok(())
    }

    async fn push_as_ci_does(&self, story: &mut Story, infra: &Repository) -> Result<()> {
        story.chapter("CI only commits: git clone, sed, git commit, git push");
        let work = tempfile::tempdir_in(self.folder)?;
        let authority = work.path().join("git.crt");
        std::fs::write(&authority, &self.git.ca)?;
        let job = "set -eu; git clone --quiet \"$URL\" ci; cd ci; \
            sed -i \"s|image: company/api:.*|image: company/api:${CI_COMMIT_SHORT_SHA}|g\" \
                apps/api/production/deployment.yaml; \
            git -c user.name=ci -c user.email=ci@example.com commit --quiet -am \"ci: update api to ${CI_COMMIT_SHORT_SHA}\"; \
            git push --quiet origin main";
        bed::process::run(
            Command::new("bash")
                .args(["-c", job])
                .current_dir(work.path())
                .env("URL", infra.url.replace("https://", &format!("https://{USER}:{PASSWORD}@")))
                .env("CI_COMMIT_SHORT_SHA", "e5f6a7b8")
                .env("GIT_SSL_CAINFO", &authority),
        )?;
        infra.git(&["pull", "--quiet", "--rebase", "origin", "main"])?;
        story.restart();
        self.runs("company/api:e5f6a7b8").await?;
        self.application("api-production", "healthy", is_well).await?;
        story
            .done(format!("image e5f6a7b8 runs and is healthy (Git is polled every {GIT_POLL} here, 30 s by default)"));
        Ok(())
    }

    async fn refuse_what_a_project_forbids(
        &self,
        story: &mut Story,
        teams: &Repository,
        payments: &Repository,
    ) -> Result<()> {
        story.chapter("A team adds Applications by pull request; its project bounds them");
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ledger\ndata:\n  currency: EUR\n";
        payments.commit("Add the ledger", &[("deploy/ledger.yaml", map)])?;
        let application = |name: &str, namespace: &str| {
            json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
                "metadata": { "name": name, "namespace": CONTROL },
                "spec": {
                    "project": "team-payments",
                    "source": { "repoURL": payments.url, "targetRevision": "main", "path": "deploy" },
                    "destination": { "server": "https://kubernetes.default.svc", "namespace": namespace },
                    "syncPolicy": { "automated": {}, "syncOptions": ["CreateNamespace=true"] },
                },
            })
            .to_string()
        };
        let (good, bad) = (application("payments-eu", "payments-eu"), application("payments-intruder", PRODUCTION));
        teams.commit(
            "payments: two Applications",
            &[("apps/payments/eu.json", &good), ("apps/payments/deep/intruder.json", &bad)],
        )?;
        story.restart();
        self.application("payments-eu", "healthy", is_well).await?;
        story.done("payments-eu came through root-apps and is synced into payments-eu");
        let refused = |object: &Value| {
            let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
            conditions.into_iter().any(|condition| condition["type"] == "InvalidSpecError")
        };
        let object = self.application("payments-intruder", "refused", refused).await?;
        story.line(format!("  {}", object["status"]["conditions"][0]["message"].as_str().unwrap_or_default()));
        let intruder = self.cluster.find("v1 ConfigMap", PRODUCTION, "ledger").await?;
        ensure!(intruder.is_none(), "something of the refused Application was applied");
        story.done("payments-intruder is refused, and nothing of it is applied");
        Ok(())
    }

    async fn roll_back(&self, story: &mut Story, infra: &Repository, before: &str) -> Result<()> {
        story.chapter("Roll back: git revert");
        let commit = infra.revert()?;
        story.restart();
        self.runs(before).await?;
        let at_commit = |object: &Value| is_well(object) && object["status"]["sync"]["revision"] == commit.as_str();
        let application = self.application("api-production", "healthy at the revert", at_commit).await?;
        story.done("the image of before runs and is healthy");
        story.line("  revision  deployed at           by");
        for entry in application["status"]["history"].as_array().into_iter().flatten() {
            let revision = entry["revision"].as_str().unwrap_or_default();
            let by = if entry["initiatedBy"]["automated"] == true { "policy" } else { "a person" };
            story.line(format!("  {:.8}  {}  {by}", revision, entry["deployedAt"].as_str().unwrap_or_default()));
        }
        Ok(())
    }

    /// A Secret made by kubectl and sealed by `seal`, as one types it.
    async fn seal(&self, operator: &Operator, name: &str, literal: &str) -> Result<String> {
        let plain = self.bed.kubectl(&[
            "create",
            "secret",
            "generic",
            name,
            "-n",
            PRODUCTION,
            literal,
            "--dry-run=client",
            "-o",
            "yaml",
        ])?;
        let certificate = format!("{}/v1/cert.pem", operator.url);
        let started = Instant::now();
        // The key is born when the operator leads.
        while !reqwest::get(&certificate).await.is_ok_and(|answer| answer.status().is_success()) {
            ensure!(started.elapsed() < PATIENCE, "the operator serves no certificate");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut child = Command::new(&self.bed.seal)
            .args(["--format", "yaml", "--cert", &certificate])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("no standard input")?.write_all(plain.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "seal failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    async fn application(&self, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        let what = format!("{name} is {what}");
        self.cluster.wait_for(&what, (APPLICATION, CONTROL, name), PATIENCE, is_so).await
    }

    async fn secret(&self, name: &str, key: &str, value: &str) -> Result<()> {
        use base64::Engine;
        let wanted = base64::engine::general_purpose::STANDARD.encode(value);
        let what = format!("Secret {name} holds what it should");
        let holds = |object: &Value| object["data"][key] == wanted.as_str();
        self.cluster.wait_for(&what, (SECRET, PRODUCTION, name), PATIENCE, holds).await.map(drop)
    }

    async fn image(&self) -> Result<String> {
        let deployment = self.cluster.get(DEPLOYMENT, PRODUCTION, "api").await?;
        Ok(image_of(&deployment).to_owned())
    }

    async fn runs(&self, image: &str) -> Result<()> {
        let place = (DEPLOYMENT, PRODUCTION, "api");
        self.cluster.wait_for(image, place, PATIENCE, |object| image_of(object) == image).await.map(drop)
    }
}

fn is_well(object: &Value) -> bool {
    object["status"]["sync"]["status"] == "Synced" && object["status"]["health"]["status"] == "Healthy"
}

fn image_of(deployment: &Value) -> &str {
    deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default()
}

fn deployment(image: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
spec:
  replicas: 2
  selector:
    matchLabels: {{ app: api }}
  template:
    metadata:
      labels: {{ app: api }}
    spec:
      containers:
        - name: api
          image: company/api:{image}
          envFrom:
            - secretRef: {{ name: db-credentials }}
            - secretRef: {{ name: stripe }}
"
    )
}

/// What is told, and how long each step took.
struct Story {
    lines: Vec<String>,
    steps: Vec<(String, Duration)>,
    began: Instant,
    step: Instant,
}

impl Default for Story {
    fn default() -> Self {
        Self { lines: Vec::new(), steps: Vec::new(), began: Instant::now(), step: Instant::now() }
    }
}

impl Story {
    fn line(&mut self, line: impl Into<String>) {
        let line = line.into();
        say(&line);
        self.lines.push(line);
    }

    fn chapter(&mut self, title: &str) {
        self.line("");
        self.line(format!("■ {title}"));
        self.restart();
    }

    /// The time of the next step counts from here.
    fn restart(&mut self) {
        self.step = Instant::now();
    }

    fn done(&mut self, what: impl Into<String>) {
        let (what, took) = (what.into(), self.step.elapsed());
        self.line(format!("  ✓ {what} ({:.1} s)", took.as_secs_f32()));
        self.steps.push((what, took));
        self.restart();
    }

    fn summary(&mut self) {
        self.line("");
        self.line("■ What happened");
        for (what, took) in std::mem::take(&mut self.steps) {
            self.line(format!("  {:>5.1} s  {what}", took.as_secs_f32()));
        }
        let whole = self.began.elapsed().as_secs_f32();
        self.line(format!("  {whole:>5.1} s  in all, and every step was seen"));
    }
}
