"""Every field of a run with its default. Experiments override a few of them.

Durations are in epochs unless the name says otherwise; an epoch has
floor(training images / batch_size) steps.
"""

import ml_collections
from ml_collections import config_dict


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()

    config.init_seeds = 0  # seed of the initial parameters
    config.seeds = 0  # seed of data order, augmentation, dropout and every other draw in training
    config.batch_size = 256  # images per step over all devices and hosts
    config.total_epochs = 200  # length of training

    config.gradient_accumulation_steps = 1  # parts of a device's batch, taken one after another
    # Steps of one kind that are sent to the devices as one program, between saves and evaluations.
    config.steps_per_loop = 1
    config.compute_dtype = "float32"  # type of activations and products: float32 or bfloat16
    config.on_nonfinite = "stop"  # a loss or gradient that is not finite: stop, skip or rollback
    config.max_rollbacks = 3  # stop after so many rollbacks

    # Start from the model of a run's folder, of RUN/checkpoints/STEP or of a .npz file; "": afresh.
    config.init_from = ""
    # Decay of a moving average of the model over steps, such as 0.999; 0: off.
    config.ema_decay = 0.0

    config.base_lr = 0.1  # peak learning rate
    config.use_learning_rate_schedule = True  # False: base_lr throughout
    config.lr_schedule_type = "cosine"  # cosine, constant, stepped or exponential
    # (epoch, share of base_lr from then on)
    config.lr_stepped_schedule = ((60, 0.2), (120, 0.04), (160, 0.008))
    config.warmup_epochs = 0  # linear warmup of the learning rate, and of the penalty

    config.gradient_clipping = 5.0  # largest global norm of the mixed gradient; 0: off
    config.l2_regularization = 1e-3  # l2 in loss + l2/2 * sum of squared parameters
    config.no_weight_decay_on_bn = False  # True: only parameters with ndim > 1 enter that sum
    config.label_smoothing = 0.0  # share of the label spread evenly over the classes

    config.gr_warmup_strategy = "none"  # none, r, lambda or zero
    config.use_hybrid_training = False  # True: penalize each step with probability p, else standard
    config.hybrid_config = ml_collections.ConfigDict()
    config.hybrid_config.p = 0.0  # probability that a step is penalized
    config.hybrid_config.schedule = "constant"  # constant; linear or cosine: from p to p_end
    config.hybrid_config.p_end = 0.0  # probability at the end of training

    config.gnp = ml_collections.ConfigDict()
    config.gnp.r = 0.0  # radius of the perturbation; 0: standard training
    config.gnp.alpha = 0.0  # weight of the perturbed gradient; 1: SAM, 0: standard training
    config.gnp.norm_perturbations = False  # True: mix the unit gradient (the reference's default)
    config.gnp.sync_perturbations = False  # True: the same as perturbation_batch 0
    # Images that share a perturbation; unset: a device's batch; 0: the whole global batch.
    config.gnp.perturbation_batch = config_dict.placeholder(int)
    # Warmup of the penalty; unset: warmup_epochs.
    config.gnp.warmup_epochs = config_dict.placeholder(float)
    config.gnp.warmup_steps = config_dict.placeholder(int)  # warmup of the penalty in steps, if set
    config.gnp.mode = "two_pass"  # two_pass, or exact: the gradient of L + lambda |grad L|
    config.gnp.ascent = "gradient"  # gradient, adaptive (ASAM) or random (a control)
    config.gnp.ascent_steps = 1  # passes that lead to the perturbed parameters
    config.gnp.surrogate_gap = 0.0  # GSAM's weight of the gap; 0: off
    config.gnp.every = 1  # penalize each n-th step, else standard
    config.gnp.reuse = 0.0  # LookSAM's weight of the last penalty in the steps between; 0: off
    config.gnp.bn_policy = "clean"  # batch statistics of the pass: clean, perturbed or both

    config.regularization = ml_collections.ConfigDict()
    config.regularization.input_gradient = ml_collections.ConfigDict()
    # epsilon, in the units of the model's input
    config.regularization.input_gradient.strength = 0.0
    config.regularization.input_gradient.form = "norm"  # norm, squared or adversarial
    config.regularization.activation_gradient = ml_collections.ConfigDict()
    config.regularization.activation_gradient.strength = 0.0  # weight of the squared gradients
    config.regularization.activation_gradient.activations = ()  # patterns of module paths
    config.regularization.parameter_gradient = ml_collections.ConfigDict()
    config.regularization.parameter_gradient.strength = 0.0  # gamma in L + gamma/4 |grad L|^2
    config.regularization.weight = ml_collections.ConfigDict()
    config.regularization.weight.block_shape = (4, 4)  # rows and columns of the groups "blocks"
    config.regularization.weight.l1 = ml_collections.ConfigDict()
    # (pattern of parameter paths, strength); the first that matches a parameter counts
    config.regularization.weight.l1.strengths = ()
    config.regularization.weight.l1.first_epoch = 0  # on from this epoch
    config.regularization.weight.l1.last_epoch = config_dict.placeholder(int)  # off from this epoch
    config.regularization.weight.l1.every_n_epochs = 1  # on in each n-th epoch from then on
    config.regularization.weight.l2 = ml_collections.ConfigDict()
    config.regularization.weight.l2.strengths = ()  # (pattern, strength of half the sum of squares)
    config.regularization.weight.l2.first_epoch = 0  # on from this epoch
    config.regularization.weight.l2.last_epoch = config_dict.placeholder(int)  # off from this epoch
    config.regularization.weight.l2.every_n_epochs = 1  # on in each n-th epoch from then on
    config.regularization.weight.group_lasso = ml_collections.ConfigDict()
    # (pattern, strength, groups), the groups being elements, layers, kernels, filters, channels,
    # rows, columns or blocks
    config.regularization.weight.group_lasso.strengths = ()
    # True: multiply a group's norm by the root of its size
    config.regularization.weight.group_lasso.weighted_by_size = True
    config.regularization.weight.group_lasso.first_epoch = 0  # on from this epoch
    # off from this epoch
    config.regularization.weight.group_lasso.last_epoch = config_dict.placeholder(int)
    config.regularization.weight.group_lasso.every_n_epochs = (
        1  # on in each n-th epoch from then on
    )
    config.regularization.weight.threshold = ml_collections.ConfigDict()
    # (pattern, limit, groups): groups become zero if their root mean square is at most the limit
    config.regularization.weight.threshold.limits = ()
    # zeros may change again from this epoch on
    config.regularization.weight.threshold.release_epoch = config_dict.placeholder(int)
    config.regularization.weight.threshold.first_epoch = 0  # on from this epoch
    # off from this epoch
    config.regularization.weight.threshold.last_epoch = config_dict.placeholder(int)
    config.regularization.weight.threshold.every_n_epochs = 1  # on in each n-th epoch from then on

    config.opt = ml_collections.ConfigDict()
    config.opt.opt_type = "Momentum"  # SGD, Momentum, Adam (alias AdamW) or RMSProp
    config.opt.opt_params = ml_collections.ConfigDict()  # arguments, by optax's names

    config.model = ml_collections.ConfigDict()
    config.model.model_name = "WideResNet_28_10"  # a registered model
    config.model.model_params = ml_collections.ConfigDict()  # fields of the model's constructor
    config.model.model_module = ""  # Python path or file that registers models of your own
    config.use_additional_skip_connections_in_wrn = False  # shortcuts over each group and the body

    config.dataset = ml_collections.ConfigDict()
    config.dataset.dataset_name = "cifar10"  # a data source
    config.dataset.data_dir = ""  # root of an image folder, or of a set's published files
    config.dataset.fake_kind = "random"  # of the set fake: random or memorizable
    config.dataset.loader = "tfdata"  # tfdata, or device: all images live on the accelerator
    config.dataset.on_bad_image = "error"  # error, or skip: leave out files that cannot be read
    config.dataset.memory_limit_gb = 8.0  # image folders up to this are decoded once and kept
    # none, crop, basic (crop and flip), autoaugment, aa-only, randaugment or trivialaugment
    # (the last two and autoaugment with crop and flip)
    config.dataset.image_level_augmentations = "basic"
    config.dataset.batch_level_augmentations = "none"  # none, mixup, cutmix, cutout or mixcut
    config.dataset.crop_padding = 0  # pixels around images before a crop; 0: an eighth, rounded up
    config.dataset.randaug_num_layers = 2  # RandAugment: operations per image
    config.dataset.randaug_magnitude = 9  # RandAugment: strength of the operations, 0 to 10
    config.dataset.random_erasing = 0.0  # share of the images that lose a random box
    config.dataset.mixup_alpha = 1.0  # mixup and CutMix draw from Beta(alpha, alpha)
    config.dataset.imagenet_mixup_alpha = 0.0  # mixup's alpha for imagenet; above 0 turns it on
    config.dataset.cutout_length = 16  # side of the square that cutout blanks, in pixels
    config.dataset.image_size = 32  # height and width that the model gets, in pixels
    config.dataset.num_classes = 10  # number of classes
    config.dataset.num_channels = 3  # 1: gray, 3: colour
    config.dataset.num_train_images = 0  # train on n images, the same in every run; 0: all
    config.dataset.num_parallel_calls = 0  # threads of the pipeline; 0: as many as serve best
    config.tfds_dir = ""  # where tensorflow-datasets keeps its sets; "": its own choice
    config.imagenet_train_dir = ""  # holds <synset>/*.JPEG, to train on
    config.imagenet_val_dir = ""  # holds <synset>/*.JPEG, to evaluate on
    # False: hold out a tenth of the training set, 10 % of each class, and evaluate on it.
    config.use_test_set = True

    config.compute_top_5_error_rate = False  # True: report the top-5 error rate too
    config.evaluate_every_n_epochs = 1  # epochs from one evaluation to the next, and the end
    config.save_ckpt_every_n_epochs = 200  # epochs from one save to the next, and the end
    config.save_ckpt_every_n_steps = 0  # saves within epochs too; 0: off
    config.save_ckpt_every_n_minutes = 0.0  # saves by the clock too; 0: off
    config.keep_latest_checkpoints = 2  # newest checkpoints that stay
    config.keep_best_checkpoints = 1  # best by best_metric that are saved and stay
    config.best_metric = "eval/error_rate"  # what "best" means; smaller is better
    config.early_stopping_patience = 0  # stop after n evaluations without a better one; 0: off
    config.interrupt_exit_code = 0  # when asked to stop; 0: 128 + the signal, 143 for SIGTERM
    config.retrain = False  # True: delete the run's folder and start over
    config.write_config_to_json = True  # write config.json into the run's folder

    config.profile_steps = ""  # "first:last": trace these steps into the folder profile

    config.logging = ml_collections.ConfigDict()
    config.logging.tensorboard_logging_frequency = 1  # steps between two records of metrics
    config.logging.layer_norms_every = 0  # steps between records of each layer's gradient; 0: off
    # Warn of a loss so many robust standard deviations above the 100 records before; 0: off.
    config.logging.loss_spike_threshold = 6.0
    config.logging.wandb = False  # True: send metrics to Weights & Biases; needs the extra wandb
    config.logging.basic_logger_level = "debug"  # debug, info, warning or error
    config.logging.logger_sys_output = False  # True: log lines go to standard output

    return config
