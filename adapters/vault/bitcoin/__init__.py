"""Bitcoin as the signer sees it: PSBTs read from their bytes alone, with a decoder and a sighash of its own."""
