//! New keys, from the chance that is given.

use rsa::PrivateKey as RsaPrivateKey;
use zeroize::Zeroizing;

use super::super::super::bounds::cost;
use super::super::super::error::Fault;
use super::super::super::run::Run;
use super::super::der;
use super::{Curve, PrivateKey};

impl PrivateKey {
    /// A new RSA key.
    pub(in super::super) fn generate_rsa(run: &mut Run, bits: usize) -> Result<Self, Fault> {
        run.budget.spend(if bits > 2048 { cost::RSA_4096 } else { cost::RSA_2048 })?;
        let key = RsaPrivateKey::new(run.chance.stream(), bits).map_err(|_| Fault::from("no RSA key can be made"))?;
        Ok(Self::Rsa(Box::new(key)))
    }

    /// A new key on the curve P-256.
    pub(in super::super) fn generate_elliptic(run: &mut Run) -> Result<Self, Fault> {
        run.budget.spend(cost::SIGNATURE)?;
        loop {
            let mut number = Zeroizing::new([0; 32]);
            run.chance.fill(&mut *number);
            // One in four thousand millions is too big, or 0.
            if let Some(key) = Self::elliptic(Curve::P256, &*number) {
                return Ok(key);
            }
        }
    }

    /// A new Ed25519 key.
    pub(in super::super) fn generate_ed25519(run: &mut Run) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        run.chance.fill(&mut *seed);
        Self::Ed25519(seed)
    }

    /// A new DSA key with a group of its own, of 2 048 and 256 bits.
    pub(in super::super) fn generate_dsa(run: &mut Run) -> Result<Self, Fault> {
        run.budget.spend(cost::DSA)?;
        let group =
            dsa::Components::try_generate_from_rng_with_key_size(run.chance.stream(), dsa::KeySize::DSA_2048_256);
        let group = group.map_err(|_| Fault::from("no DSA group can be made"))?;
        let key = dsa::SigningKey::try_generate_from_rng_with_components(run.chance.stream(), group);
        let key = key.map_err(|_| Fault::from("no DSA key can be made"))?;
        let public = key.verifying_key();
        let number = |number: &dsa::BoxedUint| Zeroizing::new(der::integer(&number.to_be_bytes()));
        let group = public.components();
        Ok(Self::Dsa(Zeroizing::new(der::sequence(&[
            &der::integer(&[0]),
            &number(group.p()),
            &number(group.q()),
            &number(group.g()),
            &number(public.y()),
            &number(key.x()),
        ]))))
    }
}
