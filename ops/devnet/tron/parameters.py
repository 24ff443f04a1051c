"""Chain parameters as the witnesses have voted them: names of wallet/getchainparameters, values of late 2026."""

SUN = 1_000_000  # of one TRX

DEFAULTS: dict[str, int] = {
    "getMaintenanceTimeInterval": 21_600_000,
    "getCreateAccountFee": 100_000,
    "getTransactionFee": 1_000,
    "getAssetIssueFee": 1_024 * SUN,
    "getCreateNewAccountFeeInSystemContract": 1 * SUN,
    "getCreateNewAccountBandwidthRate": 1,
    "getEnergyFee": 100,
    "getMaxFeeLimit": 15_000 * SUN,
    "getTotalEnergyLimit": 180_000_000_000,
    "getTotalEnergyCurrentLimit": 180_000_000_000,
    "getFreeNetLimit": 600,
    "getTotalNetLimit": 43_200_000_000,
    "getUpdateAccountPermissionFee": 100 * SUN,
    "getMultiSignFee": 1 * SUN,
    "getMemoFee": 1 * SUN,
    "getUnfreezeDelayDays": 14,
    "getAllowDynamicEnergy": 1,
    "getDynamicEnergyMaxFactor": 34_000,
    "getMaxDelegateLockPeriod": 864_000,
    "getConsensusLogicOptimization": 1,
    "getAllowNewResourceModel": 1,
}

# What everybody else has staked, in TRX: it sets what a stake of ours is worth.
OTHERS_STAKE_TRX = {"ENERGY": 19_000_000_000, "BANDWIDTH": 26_000_000_000}

DELEGATION_MIN_SUN = 1 * SUN
STAKE_MIN_SUN = 1 * SUN
UNFREEZES_MAX = 32  # waiting at the same time
LOCK_PERIOD_DEFAULT = 86_400  # slots of 3 s: three days
LOCK_SLOT_MS = 3_000
WINDOW_MS = 86_400_000  # in which used bandwidth and energy come back
MAX_RESULT_BYTES = 64  # counted with every transaction, for the result that the node will add
TRANSACTION_MAX_BYTES = 500 * 1024
LIFETIME_MAX_MS = 86_400_000
