//! The stand-in kubelet: there are no nodes here, so it marks Pods Running and Ready, and those of Jobs Succeeded (or
//! Failed, when they carry the annotation), so that Deployments become Available and Jobs finish.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// On a Pod: it fails.
pub const FAIL: &str = "bed.chancery.dev/fail";
/// How often it looks: a real kubelet is not faster.
const EVERY: Duration = Duration::from_millis(250);

/// Runs until the thread's process ends.
///
/// # Errors
///
/// No client.
pub fn start(kubeconfig: PathBuf) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("stand-in kubelet".to_owned()).spawn(move || {
        runtime.block_on(async {
            let Ok(cluster) = Cluster::connect(&kubeconfig).await else { return };
            let mut address = 1_u16;
            loop {
                for pod in cluster.list("v1 Pod", "").await.unwrap_or_default() {
                    // The operator's own Pods stay Pending: it runs as a process.
                    let is_ours = pod["metadata"]["labels"]["app.kubernetes.io/name"] == "chancery";
                    if pod["status"]["phase"] == "Pending" && !is_ours {
                        address = address.wrapping_add(1);
                        // A Pod that went meanwhile is nobody's trouble.
                        let _ = run(&cluster, &pod, address).await;
                    }
                }
                tokio::time::sleep(EVERY).await;
            }
        });
    })?;
    Ok(())
}

async fn run(cluster: &Cluster, pod: &Value, address: u16) -> Result<()> {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let of_a_job = pod.pointer("/metadata/ownerReferences/0/kind").is_some_and(|kind| kind == "Job");
    let fails = pod["metadata"]["annotations"].get(FAIL).is_some();
    let now = jiff::Timestamp::now().to_string();
    let phase = match (of_a_job, fails) {
        (_, true) => "Failed",
        (true, false) => "Succeeded",
        (false, false) => "Running",
    };
    let ready = if phase == "Running" { "True" } else { "False" };
    let condition = |kind: &str, status: &str| json!({ "type": kind, "status": status, "lastTransitionTime": now });
    let state = match phase {
        "Running" => json!({ "running": { "startedAt": now } }),
        _ => json!({ "terminated": { "exitCode": i32::from(fails), "startedAt": now, "finishedAt": now } }),
    };
    let containers: Vec<_> = pod["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|container| {
            json!({
                "name": container["name"], "image": container["image"], "imageID": "stand-in",
                "ready": phase == "Running", "started": true, "restartCount": 0, "state": state,
            })
        })
        .collect();
    let ip = format!("10.98.{}.{}", address >> 8, address & 0xff);
    let status = json!({
        "phase": phase, "startTime": now, "podIP": ip, "podIPs": [{ "ip": ip }],
        "conditions": [
            condition("PodScheduled", "True"), condition("Initialized", "True"),
            condition("ContainersReady", ready), condition("Ready", ready),
        ],
        "containerStatuses": containers,
    });
    cluster.patch_status("v1 Pod", namespace, name, &status).await
}
