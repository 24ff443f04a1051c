// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// Pays TRX to many from one contract, as exchanges and airdrops do: recipients see it only in internal transactions.
contract Disperse {
    function pay(address payable[] calldata recipients, uint256 sun) external payable {
        for (uint256 i = 0; i < recipients.length; i++) recipients[i].transfer(sun);
    }
}
