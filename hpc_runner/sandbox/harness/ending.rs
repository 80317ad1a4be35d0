
// The last of the tests in the order of their names, in which one thread runs them.
#[cfg(test)]
mod zzz_hpc_runner {
    #[test]
    fn ending() {
        let ending = std::env::var("HPC_RUNNER_ENDING").unwrap();
        let (word, path) = ending.split_once(' ').unwrap();
        std::fs::write(path, word).unwrap();
    }
}
