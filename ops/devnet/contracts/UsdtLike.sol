// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// A token for the local networks that behaves as Tether USD does on Ethereum, surprises included. Each of them is
/// named where it happens: a back office that pays USDT has to live with all of them.
contract UsdtLike {
    string public constant name = "Tether USD";
    string public constant symbol = "USDT";
    uint256 public constant MAX_UINT = type(uint256).max;

    address public owner;
    bool public paused;
    bool public deprecated;
    address public upgradedAddress;
    uint256 public basisPointsRate; // fee on transfer, 0 until the issuer says otherwise
    uint256 public maximumFee;

    uint256 private _supply;
    mapping(address => uint256) private _balances;
    mapping(address => mapping(address => uint256)) private _allowed;
    mapping(address => bool) public isBlackListed;
    uint256 public decimals; // a uint, where ERC-20 says uint8; 6 nearly everywhere, 18 on BSC

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);
    event Issue(uint256 amount);
    event Redeem(uint256 amount);
    event Deprecate(address newAddress);
    event Params(uint256 feeBasisPoints, uint256 maxFee);
    event DestroyedBlackFunds(address _blackListedUser, uint256 _balance);
    event AddedBlackList(address _user);
    event RemovedBlackList(address _user);
    event Pause();
    event Unpause();

    modifier onlyOwner() {
        require(msg.sender == owner);
        _;
    }

    modifier whenNotPaused() {
        require(!paused);
        _;
    }

    /// No Transfer is logged for the first supply.
    constructor(uint256 supply, uint256 places) {
        owner = msg.sender;
        decimals = places;
        _supply = supply;
        _balances[msg.sender] = supply;
    }

    // ------------------------------------------------------------------ what everybody calls

    function totalSupply() external view returns (uint256) {
        return _supply;
    }

    function balanceOf(address who) external view returns (uint256) {
        return _balances[who];
    }

    function allowance(address holder, address spender) external view returns (uint256) {
        return _allowed[holder][spender];
    }

    /// Returns nothing, where ERC-20 says bool. Only the SENDER is looked up in the black list: coins can be sent to a
    /// blacklisted address and are stuck there.
    function transfer(address to, uint256 value) external whenNotPaused {
        require(!isBlackListed[msg.sender]);
        _move(msg.sender, to, value);
    }

    /// Returns nothing. An allowance of MAX_UINT is never used up. The caller himself may be blacklisted.
    function transferFrom(address from, address to, uint256 value) external whenNotPaused {
        require(!isBlackListed[from]);
        uint256 allowed = _allowed[from][msg.sender];
        if (allowed < MAX_UINT) _allowed[from][msg.sender] = _sub(allowed, value);
        _move(from, to, value);
    }

    /// Returns nothing. A standing allowance cannot be changed to another one: it has to be set to zero first.
    function approve(address spender, uint256 value) external {
        require(value == 0 || _allowed[msg.sender][spender] == 0);
        _allowed[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
    }

    // ------------------------------------------------------------------ what the issuer calls

    function getOwner() external view returns (address) {
        return owner;
    }

    /// Handing it to nobody is ignored, not refused.
    function transferOwnership(address newOwner) external onlyOwner {
        if (newOwner != address(0)) owner = newOwner;
    }

    function pause() external onlyOwner whenNotPaused {
        paused = true;
        emit Pause();
    }

    function unpause() external onlyOwner {
        require(paused);
        paused = false;
        emit Unpause();
    }

    function getBlackListStatus(address who) external view returns (bool) {
        return isBlackListed[who];
    }

    function addBlackList(address who) external onlyOwner {
        isBlackListed[who] = true;
        emit AddedBlackList(who);
    }

    function removeBlackList(address who) external onlyOwner {
        isBlackListed[who] = false;
        emit RemovedBlackList(who);
    }

    /// A balance vanishes without a Transfer.
    function destroyBlackFunds(address who) external onlyOwner {
        require(isBlackListed[who]);
        uint256 funds = _balances[who];
        _balances[who] = 0;
        _supply -= funds;
        emit DestroyedBlackFunds(who, funds);
    }

    /// The owner's balance grows without a Transfer.
    function issue(uint256 amount) external onlyOwner {
        require(_supply + amount > _supply);
        _balances[owner] += amount;
        _supply += amount;
        emit Issue(amount);
    }

    /// The owner's balance shrinks without a Transfer.
    function redeem(uint256 amount) external onlyOwner {
        require(_supply >= amount && _balances[owner] >= amount);
        _supply -= amount;
        _balances[owner] -= amount;
        emit Redeem(amount);
    }

    /// The fee on transfer may be switched on at any time, up to 0.19 % and 49 USDT.
    function setParams(uint256 newBasisPoints, uint256 newMaxFee) external onlyOwner {
        require(newBasisPoints < 20 && newMaxFee < 50);
        basisPointsRate = newBasisPoints;
        maximumFee = newMaxFee * 10 ** decimals;
        emit Params(basisPointsRate, maximumFee);
    }

    /// The successor is only announced here: this contract goes on by itself.
    function deprecate(address successor) external onlyOwner {
        deprecated = true;
        upgradedAddress = successor;
        emit Deprecate(successor);
    }

    // ------------------------------------------------------------------ inside

    /// With a fee, two Transfers are logged and the recipient gets less than was sent.
    function _move(address from, address to, uint256 value) private {
        uint256 fee = (value * basisPointsRate) / 10000;
        if (fee > maximumFee) fee = maximumFee;
        uint256 net = value - fee;
        _balances[from] = _sub(_balances[from], value);
        _balances[to] += net;
        if (fee > 0) {
            _balances[owner] += fee;
            emit Transfer(from, owner, fee);
        }
        emit Transfer(from, to, net);
    }

    /// Too little of anything is an invalid opcode, as in contracts of 2017: it eats ALL the gas of the transaction.
    function _sub(uint256 a, uint256 b) private pure returns (uint256) {
        if (b > a) {
            assembly {
                invalid()
            }
        }
        unchecked {
            return a - b;
        }
    }
}
